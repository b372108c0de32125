// make_checkpoint FILE MODEL_JSON: a synthetic checkpoint, for tests that drive the program.

#include <iostream>

#include "eval/synthetic_checkpoint.hpp"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: make_checkpoint FILE MODEL_JSON\n";
    return 2;
  }
  const auto model = simclr::parse_model_description(argv[2], "command line");
  simclr::write_checkpoint(argv[1], simclr::synthetic_checkpoint(model, 1));
  return 0;
}
