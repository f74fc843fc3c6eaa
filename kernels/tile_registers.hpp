#pragma once
// AMX-INT8: the tile registers that some x86 CPUs have beside their vectors. Highway does not know them.

namespace troupe {

/// Whether kernels use the tile registers now: this CPU has them, the system lets the process have their
/// state, and set_tile_registers(false) was not called. Asks the system at its first call. Any thread.
bool tile_registers() noexcept;

/// Turns their use off, or on again where it is possible. For tests and measurements; not while a kernel
/// runs.
void set_tile_registers(bool on) noexcept;

}  // namespace troupe
