# Cross build for 64-bit ARM on Debian's compiler, with tests run by qemu's user mode: the preset neon.
# scripts/deps --neon installs both, and puts cmocka for arm64 into .cache/aarch64.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)

find_program(MQA_QEMU NAMES qemu-aarch64 qemu-aarch64-static REQUIRED)
set(CMAKE_CROSSCOMPILING_EMULATOR ${MQA_QEMU} -L /usr/aarch64-linux-gnu)

cmake_path(SET packages NORMALIZE ${CMAKE_CURRENT_LIST_DIR}/../.cache/aarch64)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu ${packages})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${packages}/usr/lib/aarch64-linux-gnu/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${packages})
