#include "fill.hpp"

namespace simclr::SIMCLR_ISA {

void fill(kernels::Table& table) {
  fill_batch_norm(table);
  fill_element(table);
  fill_loss(table);
  fill_optimizer(table);
}

}  // namespace simclr::SIMCLR_ISA
