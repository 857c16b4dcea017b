# SPDX-License-Identifier: Apache-2.0
# Warnings as errors and hardening, for all code of the project (generated code is exempt).
option(QUORATE_WERROR "treat warnings as errors" ON)

set(QUORATE_WARNINGS -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wpointer-arith -Wwrite-strings)
if(QUORATE_WERROR)
  list(APPEND QUORATE_WARNINGS -Werror)
endif()

add_compile_definitions(_GNU_SOURCE)
add_compile_options(-fno-omit-frame-pointer -fstack-protector-strong -fPIE
    "-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-fstack-clash-protection -fcf-protection)
endif()
if(NOT CMAKE_BUILD_TYPE MATCHES "Debug|ASan|TSan|Fuzz")
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
add_link_options(-pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack)
