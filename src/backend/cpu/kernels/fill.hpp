#pragma once
// Each kernel source enters its functions into the table of its instruction set.

#include "table.hpp"

namespace simclr::SIMCLR_ISA {

void fill(kernels::Table& table);

void fill_batch_norm(kernels::Table& table);
void fill_element(kernels::Table& table);
void fill_loss(kernels::Table& table);
void fill_optimizer(kernels::Table& table);

}  // namespace simclr::SIMCLR_ISA
