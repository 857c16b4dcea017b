/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML documents as JSON trees, over libyaml: configuration files, kubeconfigs, manifests. No tags,
 * no aliases. JSON is YAML too. Input may be hostile: size, depth and keys have limits.
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include "base/defs.h"
#include "base/err.h"
#include "base/json.h"

#define YAML_BYTES_MAX (4u * 1024u * 1024u)
#define YAML_DEPTH_MAX 128u
#define YAML_KEYS_MAX  10000u /* of one mapping */

/*
 * Parses the first document of text. Gives the tree (json_free), or NULL with line and reason in
 * err; nothing but comments is an error too ("empty document"). Plain scalars become null, bool,
 * integer or number by the rules of YAML 1.1 that Kubernetes and etcd go by: yes, no, on and off
 * are booleans, 0644 is octal. A repeated key: the last wins.
 */
struct json *json_parse_yaml(const char *text, size_t size, struct err *err);

#endif
