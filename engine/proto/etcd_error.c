/* SPDX-License-Identifier: Apache-2.0 */
/* Lookups in the error table of etcd_error.h and the names of the gRPC codes. */
#include "engine/proto/etcd_error.h"

#include <string.h>

#include "base/assert.h"

struct error_row {
    enum grpc_code code;
    const char *text;
};

static const struct error_row ROWS[] = {
#define X(name, code, text) {code, text},
    ETCD_ERRORS(X)
#undef X
};

_Static_assert(ARRAY_COUNT(ROWS) == ETCD_ERR_COUNT, "one row for each error");

static const char *const CODE_NAMES[GRPC_CODE_COUNT] = {
    "OK",       "Canceled",        "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",   "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",      "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated",
};

enum grpc_code etcd_error_code(enum etcd_error error)
{
    ASSERT((unsigned)error < ETCD_ERR_COUNT);
    return ROWS[error].code;
}

const char *etcd_error_text(enum etcd_error error)
{
    ASSERT((unsigned)error < ETCD_ERR_COUNT);
    return ROWS[error].text;
}

bool etcd_error_find(const char *text, enum etcd_error *out_error)
{
    for (size_t i = ETCD_OK + 1; i < ETCD_ERR_COUNT; i++) {
        if (strcmp(ROWS[i].text, text) == 0) {
            *out_error = (enum etcd_error)i;
            return true;
        }
    }
    return false;
}

const char *grpc_code_name(enum grpc_code code)
{
    return (unsigned)code < GRPC_CODE_COUNT ? CODE_NAMES[code] : "Unknown";
}
