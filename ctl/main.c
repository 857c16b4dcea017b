/* SPDX-License-Identifier: Apache-2.0 */
/* quoratectl, also kubectl-quorate: the command line's way into the table of commands. */
#include <signal.h>

#include "base/log.h"
#include "ctl/commands.h"

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    log_set_level(
        LOG_LEVEL_WARN); /* a person reads here: libraries speak when something is wrong */
    log_set_format(LOG_FORMAT_CONSOLE);
    return ctl_run(argc, argv);
}
