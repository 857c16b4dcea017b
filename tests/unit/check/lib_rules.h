/* SPDX-License-Identifier: Apache-2.0 */
/* Small histories, each with one thing wrong, beside their innocent siblings. */
#ifndef TESTS_UNIT_CHECK_LIB_RULES_H
#define TESTS_UNIT_CHECK_LIB_RULES_H

#include "tests/check/check.h"

/* common stands before both; bad breaks rule (and maybe others), good breaks nothing. */
struct rule_case {
    const char *sentence;
    enum check_name rule;
    const char *common, *bad, *good;
};

extern const struct rule_case RULE_CASES[];
extern const size_t RULE_CASE_COUNT;

#endif
