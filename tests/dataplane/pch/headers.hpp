// What the tests of the path read, read once a build. No file relies on it: each includes what it uses.
#include "tests/dataplane/support/eal.hpp"
#include "tests/dataplane/support/test_hub.hpp"
