// An OpenSSL provider whose AES-GCM is right but for one bit of the tags that it makes: what a faulty processor or a
// faulty library would be. A configuration of OpenSSL's puts it before the real one, so that the programs are tested as
// they are.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>

namespace {

OSSL_LIB_CTX* library = nullptr;  // of its own, with the real ones
std::array<EVP_CIPHER*, 2> real = {nullptr, nullptr};
constexpr std::array<const char*, 2> kNames = {"AES-128-GCM", "AES-256-GCM"};

EVP_CIPHER_CTX* context_of(void* context) {
    return static_cast<EVP_CIPHER_CTX*>(context);
}

template <std::size_t which>
void* make(void*) {
    EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
    if (EVP_CipherInit_ex2(context, real[which], nullptr, nullptr, 1, nullptr) == 1) return context;
    EVP_CIPHER_CTX_free(context);
    return nullptr;
}
void free_context(void* context) {
    EVP_CIPHER_CTX_free(context_of(context));
}
template <int sealing>
int begin(void* context, const unsigned char* key, std::size_t, const unsigned char* iv, std::size_t,
          const OSSL_PARAM* params) {
    return EVP_CipherInit_ex2(context_of(context), nullptr, key, iv, sealing, params);
}
int update(void* context, unsigned char* out, std::size_t* written, std::size_t, const unsigned char* in,
           std::size_t length) {
    int done = 0;
    const int good = EVP_CipherUpdate(context_of(context), out, &done, in, static_cast<int>(length));
    *written = static_cast<std::size_t>(done);
    return good;
}
int finish(void* context, unsigned char* out, std::size_t* written, std::size_t) {
    int done = 0;
    std::array<unsigned char, 16> rest{};
    const int good = EVP_CipherFinal_ex(context_of(context), out != nullptr ? out : rest.data(), &done);
    *written = static_cast<std::size_t>(done);
    return good;
}
template <std::size_t which>
int get_params(OSSL_PARAM* params) {
    return EVP_CIPHER_get_params(real[which], params);
}
int set_context_params(void* context, const OSSL_PARAM* params) {
    return EVP_CIPHER_CTX_set_params(context_of(context), params);
}
int get_context_params(void* context, OSSL_PARAM* params) {
    const int good = EVP_CIPHER_CTX_get_params(context_of(context), params);
    const OSSL_PARAM* const tag = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_AEAD_TAG);
    if (good == 1 && tag != nullptr) static_cast<std::uint8_t*>(tag->data)[tag->data_size - 1] ^= 0x80;
    return good;
}

using Function = void (*)();
template <class Any>
Function as_function(Any* any) {
    return reinterpret_cast<Function>(any);
}

template <std::size_t which>
const std::array<OSSL_DISPATCH, 10>& cipher() {
    static const std::array<OSSL_DISPATCH, 10> kFunctions = {{
        {OSSL_FUNC_CIPHER_NEWCTX, as_function(make<which>)},
        {OSSL_FUNC_CIPHER_FREECTX, as_function(free_context)},
        {OSSL_FUNC_CIPHER_ENCRYPT_INIT, as_function(begin<1>)},
        {OSSL_FUNC_CIPHER_DECRYPT_INIT, as_function(begin<0>)},
        {OSSL_FUNC_CIPHER_UPDATE, as_function(update)},
        {OSSL_FUNC_CIPHER_FINAL, as_function(finish)},
        {OSSL_FUNC_CIPHER_GET_PARAMS, as_function(get_params<which>)},
        {OSSL_FUNC_CIPHER_SET_CTX_PARAMS, as_function(set_context_params)},
        {OSSL_FUNC_CIPHER_GET_CTX_PARAMS, as_function(get_context_params)},
        {0, nullptr},
    }};
    return kFunctions;
}

const OSSL_ALGORITHM* query(void*, int operation, int* no_cache) {
    static const std::array<OSSL_ALGORITHM, 3> kCiphers = {{
        {kNames[0], "provider=wrong", cipher<0>().data(), nullptr},
        {kNames[1], "provider=wrong", cipher<1>().data(), nullptr},
        {nullptr, nullptr, nullptr, nullptr},
    }};
    *no_cache = 0;
    return operation == OSSL_OP_CIPHER ? kCiphers.data() : nullptr;
}
void tear_down(void*) {
    for (EVP_CIPHER* each : real) EVP_CIPHER_free(each);
    OSSL_LIB_CTX_free(library);
}

}  // namespace

extern "C" [[gnu::visibility("default")]] int OSSL_provider_init(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH*,
                                                                 const OSSL_DISPATCH** out, void** context) {
    library = OSSL_LIB_CTX_new();
    if (library == nullptr || OSSL_PROVIDER_load(library, "default") == nullptr) return 0;
    for (std::size_t i = 0; i < real.size(); ++i) {
        real[i] = EVP_CIPHER_fetch(library, kNames[i], "provider=default");
        if (real[i] == nullptr) return 0;
    }
    static const std::array<OSSL_DISPATCH, 3> kFunctions = {{
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, as_function(query)},
        {OSSL_FUNC_PROVIDER_TEARDOWN, as_function(tear_down)},
        {0, nullptr},
    }};
    *out = kFunctions.data();
    *context = const_cast<OSSL_CORE_HANDLE*>(handle);
    return 1;
}
