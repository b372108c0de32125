#pragma once
// Places of execution on stacks of their own, between which a thread switches.

#include <ucontext.h>
#include <csetjmp>
#include <cstddef>

namespace emulation {

/// swapcontext() also saves and restores the signal mask, which is a system call a switch and most
/// of the time of an emulated kernel; _setjmp() and _longjmp() do not. AddressSanitizer follows the
/// former only.
class Context {
 public:
  /// Begins with entry(), which never returns, when it is first switched to.
  void prepare(std::byte* stack, std::size_t bytes, void (*entry)()) {
    static const ucontext_t any = [] {
      ucontext_t context{};
      getcontext(&context);
      return context;
    }();
    context_ = any;
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = bytes;
    context_.uc_link = nullptr;
    makecontext(&context_, entry, 0);
    is_new_ = true;
  }

  /// From this one, where the thread is; returns when it is switched to again.
  void switch_to(Context& other) {
#if defined(__SANITIZE_ADDRESS__)
    swapcontext(&context_, &other.context_);
#else
    if (_setjmp(place_) != 0) return;
    if (!other.is_new_) _longjmp(other.place_, 1);
    other.is_new_ = false;
    setcontext(&other.context_);
#endif
  }

 private:
  ucontext_t context_{};
  std::jmp_buf place_{};
  bool is_new_ = false;
};

}  // namespace emulation
