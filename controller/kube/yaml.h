/* SPDX-License-Identifier: Apache-2.0 */
/* YAML documents as JSON trees: what a kubeconfig or a manifest needs, no tags, aliases refused. */
#ifndef CONTROLLER_KUBE_YAML_H
#define CONTROLLER_KUBE_YAML_H

#include "base/defs.h"
#include "base/err.h"
#include "base/json.h"

/*
 * Parses the first document of text. Gives the tree (json_free), or NULL with line and reason in
 * err. Plain scalars become null, bool, integer or number where YAML 1.1's core rules say so.
 */
struct json *kube_yaml_parse(const char *text, size_t size, struct err *err);

#endif
