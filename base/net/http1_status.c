/* SPDX-License-Identifier: Apache-2.0 */
/* The names of HTTP's status codes. */
#include "base/net/http1_internal.h"

const char *http1_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } STATUS_TEXTS[] = {
#define X(number, name, text) {number, #text},
        HTTP_STATUS_MAP(X)
#undef X
    };
    for (size_t i = 0; i < ARRAY_COUNT(STATUS_TEXTS); i++) {
        if (STATUS_TEXTS[i].status == status) {
            return STATUS_TEXTS[i].text;
        }
    }
    return "";
}
