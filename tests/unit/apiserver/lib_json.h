/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in tests is written with single quotes. */
#ifndef TESTS_APISERVER_LIB_JSON_H
#define TESTS_APISERVER_LIB_JSON_H

#include "base/json.h"

/* Gives the value of text, in which ' stands for "; fails the test when it is no JSON. */
struct json *js(const char *text);

/* Fails the test unless value equals the JSON of text. */
void assert_json(const struct json *value, const char *text);

#endif
