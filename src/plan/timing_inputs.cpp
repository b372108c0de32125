#include "simclr/plan/timing_inputs.hpp"

#include <span>
#include <vector>

#include "simclr/core/pseudo_random.hpp"
#include "simclr/nn/model.hpp"

namespace simclr {

void fill_inputs(Executor& executor) {
  const Program& program = executor.program();
  executor.set_flat(Storage::parameters, initial_parameters(program, 1));
  executor.set_flat(Storage::running, initial_running_statistics(program));
  const TensorId views = program.at("views");
  const std::vector<float> pixels = pseudo_random(program.info(views).shape.elements());
  executor.upload(views, const_buffer_span(std::span(pixels)));
  const std::vector<float> control{1e-4F, 1, 1, 1};
  executor.upload(program.at("control"), const_buffer_span(std::span(control)));
}

}  // namespace simclr
