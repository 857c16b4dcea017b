/* SPDX-License-Identifier: Apache-2.0 */
/* Compiler attributes and small macros that every module may use. */
#ifndef BASE_DEFS_H
#define BASE_DEFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BASE_MUST_CHECK        __attribute__((warn_unused_result))
#define BASE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define BASE_NORETURN          __attribute__((noreturn))
#define BASE_UNUSED            __attribute__((unused))

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BASE_MIN(a, b) ((a) < (b) ? (a) : (b))
#define BASE_MAX(a, b) ((a) > (b) ? (a) : (b))

/* The struct that contains member at ptr. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/*
 * A check that the fuzz suite leaves out in a build of its own, one name at a time, to show that
 * the fuzzer would notice (tests/fuzz/plants.txt). Everywhere else the constant false.
 */
#ifdef QUORATE_FUZZ_PLANT
#define FUZZ_PLANT(name) (__builtin_strcmp(QUORATE_FUZZ_PLANT, #name) == 0)
#else
#define FUZZ_PLANT(name) false
#endif

#endif
