/* SPDX-License-Identifier: Apache-2.0 */
/* Counting changes and dying at the right one. */
#include "controller/act/crash.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int act_crash_parse(const char *text, struct act_crash *out, struct err *err)
{
    struct act_crash crash = {0};
    if (text != NULL && text[0] != 0) {
        char *end = NULL;
        crash.at = strtoull(text, &end, 10);
        crash.after = strcmp(end, ":after") == 0;
        if (crash.at == 0 || (!crash.after && strcmp(end, ":before") != 0)) {
            return err_set(err, E_INVALID, "%s=\"%s\": give k:before or k:after with k from 1",
                           ACT_CRASH_ENV, text);
        }
    }
    *out = crash;
    return 0;
}

static void die(void)
{
    (void)kill(getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

void act_crash_before(struct act_crash *crash)
{
    crash->count++;
    if (crash->count == crash->at && !crash->after) {
        die();
    }
}

void act_crash_after(struct act_crash *crash)
{
    if (crash->count == crash->at && crash->after) {
        die();
    }
}
