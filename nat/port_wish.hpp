// What makes one free port better than another for whoever asks.
#pragma once

#include "nat/endpoint.hpp"

namespace sekisho::nat {

// Asked about a few of the free ports; where it likes none of them, one is lent all the same.
class PortWish {
  public:
    virtual bool suits(const Endpoint& outside) const noexcept = 0;

  protected:
    PortWish() = default;
    PortWish(const PortWish&) = default;
    PortWish& operator=(const PortWish&) = default;
    ~PortWish() = default;
};

}  // namespace sekisho::nat
