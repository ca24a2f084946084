// An authority of the test's own, with certificates for a server on loopback and for users by their common name.
#pragma once

#include "tests/agent/etcd_support.hpp"

namespace sekisho::agent::test {

class Authority {
  public:
    explicit Authority(const std::string& name = "ca") : name_(directory_ / name) {
        openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                 "-subj", "/CN=" + name, "-keyout", name_ + ".key", "-out", name_ + ".pem"});
    }
    // A certificate and its key; for 127.0.0.1 and as a client.
    Etcd::Tls issue(const std::string& common_name, const std::string& days = "2") {
        const std::string file = directory_ / common_name;
        openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                 "/CN=" + common_name, "-keyout", file + ".key", "-out", file + ".request"});
        control::test::write_file(file + ".extensions",
                                  "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
        openssl({"x509", "-req", "-in", file + ".request", "-CA", name_ + ".pem", "-CAkey", name_ + ".key",
                 "-CAcreateserial", "-days", days, "-extfile", file + ".extensions", "-out", file + ".pem"});
        return {name_ + ".pem", file + ".pem", file + ".key"};
    }

  private:
    static void openssl(const std::vector<std::string>& arguments) {
        const Ran ran = run("/usr/bin/openssl", arguments);
        if (ran.exit_code != 0) throw std::runtime_error("openssl: " + ran.err);
    }
    TemporaryDirectory directory_;
    std::string name_;
};

}  // namespace sekisho::agent::test
