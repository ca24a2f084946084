// Known answers for AES-GCM, as the standards print them: what every engine must say before it may work.
//
// "GCM test case N" is McGrew and Viega, The Galois/Counter Mode of Operation, appendix B (submitted to NIST as the
// base of SP 800-38D); "ESP …" is draft-mcgrew-gcm-test-01 section 4, whose AAD is SPI and sequence number as RFC 4106
// §5 has them. All bytes hexadecimal. Read by self_test.cpp and by tests.
#pragma once

#include <array>
#include <string_view>

#include "crypto/suite.hpp"

namespace sekisho::crypto {

struct KnownAnswer {
    std::string_view name;
    Suite suite;
    std::string_view key, nonce, aad, plain, cipher, tag;
};

inline constexpr std::array kKnownAnswers = {
    KnownAnswer{"GCM test case 1", Suite::aes_gcm_128, "00000000000000000000000000000000", "000000000000000000000000",
                "", "", "", "58e2fccefa7e3061367f1d57a4e7455a"},
    KnownAnswer{"GCM test case 2", Suite::aes_gcm_128, "00000000000000000000000000000000", "000000000000000000000000",
                "", "00000000000000000000000000000000", "0388dace60b6a392f328c2b971b2fe78",
                "ab6e47d42cec13bdf53a67b21257bddf"},
    KnownAnswer{"GCM test case 3", Suite::aes_gcm_128, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
                "",
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
                "b16aedf5aa0de657ba637b391aafd255",
                "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa05"
                "1ba30b396a0aac973d58e091473f5985",
                "4d5c2af327cd64a62cf35abd2ba6fab4"},
    KnownAnswer{"GCM test case 4", Suite::aes_gcm_128, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
                "feedfacedeadbeeffeedfacedeadbeefabaddad2",
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
                "b16aedf5aa0de657ba637b39",
                "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa05"
                "1ba30b396a0aac973d58e091",
                "5bc94fbc3221a5db94fae95ae7121a47"},
    KnownAnswer{"GCM test case 13", Suite::aes_gcm_256,
                "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "",
                "", "530f8afbc74536b9a963b4f1c4cb738b"},
    KnownAnswer{"GCM test case 14", Suite::aes_gcm_256,
                "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
                "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18",
                "d0d1c8a799996bf0265b98b5d48ab919"},
    KnownAnswer{"GCM test case 15", Suite::aes_gcm_256,
                "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "",
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
                "b16aedf5aa0de657ba637b391aafd255",
                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
                "c5f61e6393ba7a0abcc9f662898015ad",
                "b094dac5d93471bdec1a502270e3cc6c"},
    KnownAnswer{"GCM test case 16", Suite::aes_gcm_256,
                "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
                "feedfacedeadbeeffeedfacedeadbeefabaddad2",
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
                "b16aedf5aa0de657ba637b39",
                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
                "c5f61e6393ba7a0abcc9f662",
                "76fc6ece0f4e1768cddf8853bb2d551b"},
    KnownAnswer{"ESP, 128 bits, ESN", Suite::aes_gcm_128, "4c80cdefbb5d10da906ac73c3613a634",
                "2e443b684956ed7e3b244cfe", "000043218765432100000000",
                "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000045f736970045f7564700373"
                "69700963796265726369747902646b000021000101020201",
                "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d"
                "15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732",
                "459018148f6cbe722fd04796562dfdb4"},
    KnownAnswer{"ESP, 128 bits", Suite::aes_gcm_128, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
                "0000a5f80000000a",
                "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d0010000010000000000000373697009637962"
                "65726369747902646b00000100010001",
                "deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c3de81827c10e9a4f51330d0eec416642"
                "cfbb85a5b47e48a4ec3b9ba95d918bd1",
                "83b70d3aa8bc6ee4c309e9d85a41ad4a"},
    KnownAnswer{"ESP, 256 bits", Suite::aes_gcm_256, "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
                "112233440102030405060708", "4a2cbfe300000002",
                "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b401010402"
                "01020201",
                "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99d"
                "ef842d8e",
                "b335f4eecfdbf831824b4c4915956c96"},
    KnownAnswer{"ESP, 128 bits, ESN, shorter", Suite::aes_gcm_128, "3de09874b388e6491988d0c3607eae1f",
                "57690e434e280000a2fca1a3", "42f67e3f1010101010101010",
                "4500001c42a200008001441f406793b6e00000020a00f5ff01020201",
                "fba2ca845e5df9f0f22c3e6e86dd831e1fc65792cd1af9130e1379ed", "369f071f35e034be95f112e4e7d05d35"},
    KnownAnswer{"ESP, 256 bits, ESN", Suite::aes_gcm_256,
                "abbccddef00112233445566778899aababbccddef00112233445566778899aab", "73616c74616e640169766563",
                "17405e67156f3126dd0db99b",
                "45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb71260250101f646d540001",
                "f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98ef67549d524a3018d9a57ff4d3a31ce673119e",
                "451626c2415771e3b7eebca614c89b35"},
    KnownAnswer{"ESP, a dummy of four bytes", Suite::aes_gcm_128, "7d773d00c144c525ac619d18c84a3f47",
                "d966426743457e9182443bc6", "335467aeffffffff", "01020201", "437f866b",
                "cb3f699fe9b0822bac961c4504bef270"},
    KnownAnswer{"ESP, 256 bits, ESN, last low number", Suite::aes_gcm_256,
                "6c6567616c697a656d6172696a75616e61616e64646f69746265666f72656961", "7475726e333021696765746d",
                "796b6963ffffffffffffffff",
                "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f7071727374"
                "01020201",
                "f97ab2aa356d8edce17644ac8c78e25dd24dedbb29ebf1b64a274b39b49c3a864cd3d78ca4ae68a32b42458fb57dbe82"
                "1dcc63b9",
                "d0937ba2945f669368661a329fb4c053"},
};

}  // namespace sekisho::crypto
