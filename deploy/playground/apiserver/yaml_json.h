/* SPDX-License-Identifier: Apache-2.0 */
/* One YAML document to a JSON value (the YAML 1.1 scalars that Kubernetes knows). */
#ifndef PLAYGROUND_APISERVER_YAML_JSON_H
#define PLAYGROUND_APISERVER_YAML_JSON_H

#include "base/err.h"
#include "base/json.h"

/* Gives the value, or NULL with the place and reason in err. */
struct json *yaml_parse(const char *text, size_t size, struct err *err);

#endif
