// Packets of every kind that the hub meets in the standard policy, in both families: what mutations start from.
#pragma once

#include <vector>

#include "tests/dataplane/support/bytes.hpp"
#include "tests/dataplane/support/policy.hpp"

namespace sekisho::test {

struct Specimen {
    std::size_t line;  // that it comes by
    Bytes frame;
};

std::vector<Specimen> specimens_of(const Policy& policy);

}  // namespace sekisho::test
