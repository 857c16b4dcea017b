/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a YAML file of the repository into JSON, for tests that hold code and manifests equal. */
#ifndef TESTS_UNIT_MODEL_LIB_YAML_H
#define TESTS_UNIT_MODEL_LIB_YAML_H

#include "base/json.h"

/* Gives the first document of the file at path below the source tree (json_free); fails the test.
 */
struct json *yaml_read(const char *path);

/* Gives the whole text of a file below the source tree (mem_free); fails the test. */
char *file_text(const char *path);

#endif
