// make_checkpoint FILE MODEL_JSON [SAYS_JSON]: writes a synthetic checkpoint, for tests that run
// the program. SAYS_JSON replaces its model description by a wrong one.

#include <iostream>

#include "eval/synthetic_checkpoint.hpp"

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::cerr << "usage: make_checkpoint FILE MODEL_JSON [SAYS_JSON]\n";
    return 2;
  }
  const auto model = simclr::parse_model_description(argv[2], "command line");
  simclr::Checkpoint checkpoint = simclr::synthetic_checkpoint(model, 1);
  if (argc == 4) checkpoint.model = argv[3];
  simclr::write_checkpoint(argv[1], checkpoint);
  return 0;
}
