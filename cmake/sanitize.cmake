# SPDX-License-Identifier: Apache-2.0
# Build types ASan (address and undefined behaviour), TSan (threads) and Fuzz (clang's libFuzzer).
set(CMAKE_C_FLAGS_ASAN "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all")
set(CMAKE_EXE_LINKER_FLAGS_ASAN "-fsanitize=address,undefined")
set(CMAKE_C_FLAGS_TSAN "-O1 -g -fsanitize=thread")
set(CMAKE_EXE_LINKER_FLAGS_TSAN "-fsanitize=thread")
set(CMAKE_C_FLAGS_FUZZ "-O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all")
set(CMAKE_EXE_LINKER_FLAGS_FUZZ "-fsanitize=address,undefined")
