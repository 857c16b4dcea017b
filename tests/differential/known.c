/* SPDX-License-Identifier: Apache-2.0 */
/* See known.h. */
#include "tests/differential/known.h"

#include <string.h>

#include "base/defs.h"

static const struct known OF_36[] = {{.name = NULL}};

static const struct known OF_34[] = {{.name = NULL}};

const struct known *known_of(const char *version)
{
    if (strcmp(version, "3.6") == 0) {
        return OF_36;
    }
    return strcmp(version, "3.4") == 0 ? OF_34 : NULL;
}
