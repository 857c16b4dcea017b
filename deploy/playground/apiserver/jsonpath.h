/* SPDX-License-Identifier: Apache-2.0 */
/* The part of JSONPath that printer columns use: fields, ['names'], [n], [*], [?(@.a=="b")]. Pure.
 */
#ifndef PLAYGROUND_APISERVER_JSONPATH_H
#define PLAYGROUND_APISERVER_JSONPATH_H

#include "base/err.h"
#include "base/json.h"

/* Appends copies of all values at path (".spec.x") to out_values. E_INVALID: a path it cannot read.
 */
BASE_MUST_CHECK int jsonpath_find(const struct json *root, const char *path,
                                  struct json *out_values);

#endif
