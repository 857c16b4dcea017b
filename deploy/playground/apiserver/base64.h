/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 of Secrets and certificates. Pure. */
#ifndef PLAYGROUND_APISERVER_BASE64_H
#define PLAYGROUND_APISERVER_BASE64_H

#include "base/defs.h"

/* Gives the text (mem_free). */
char *base64_encode(const char *data, size_t size);

#endif
