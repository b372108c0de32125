# Toolchain: compiles for 64-bit ARM with Debian's cross compiler against Debian's ARM libraries, which
# scripts/test_ports.sh unpacks into build-aarch64/sysroot; tests run under QEMU, without ARM hardware.
cmake_path(SET SIMCLR_SYSROOT NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../build-aarch64/sysroot")
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_SYSROOT ${SIMCLR_SYSROOT})
# The compiler's own libraries, such as libgomp, are outside of the folder.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# A processor with NEON and nothing newer, as the compiler's default assumes.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu cortex-a72 -L ${SIMCLR_SYSROOT})

set(ENV{PKG_CONFIG_SYSROOT_DIR} ${SIMCLR_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${SIMCLR_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig)
# MPI's wrappers are programs of the other processor.
set(MPI_C_COMPILER_INCLUDE_DIRS ${SIMCLR_SYSROOT}/usr/lib/aarch64-linux-gnu/openmpi/include)
set(MPI_C_LIB_NAMES mpi)
set(MPI_mpi_LIBRARY ${SIMCLR_SYSROOT}/usr/lib/aarch64-linux-gnu/openmpi/lib/libmpi.so)
