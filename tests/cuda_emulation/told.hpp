#pragma once
// What the emulated library is told of itself.

#include <cstdlib>

namespace simclr {

/// A variable of the environment by which the emulated library is told, while one lives.
class Told {
 public:
  Told(const char* variable, const char* value) : variable_(variable) {
    setenv(variable, value, 1);
  }
  Told(const Told&) = delete;
  Told& operator=(const Told&) = delete;
  ~Told() { unsetenv(variable_); }

 private:
  const char* variable_;
};

/// Which plans there are.
struct LibraryHas : Told {
  explicit LibraryHas(const char* plans) : Told("SIMCLR_EMULATED_PLANS", plans) {}
};

}  // namespace simclr
