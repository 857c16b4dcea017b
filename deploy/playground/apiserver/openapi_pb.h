/* SPDX-License-Identifier: Apache-2.0 */
/* An OpenAPI v2 document as the protobuf message that older clients ask for (gnostic openapi_v2).
 */
#ifndef PLAYGROUND_APISERVER_OPENAPI_PB_H
#define PLAYGROUND_APISERVER_OPENAPI_PB_H

#include "base/json.h"

/* Appends the message for document (swagger, info, paths, definitions) to out. */
void openapi_pb_encode(const struct json *document, struct buf *out);

#endif
