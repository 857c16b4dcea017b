/* SPDX-License-Identifier: Apache-2.0 */
/* prctl, mlockall and a look at the directories. */
#include "engine/harden.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/log.h"

#define OTHERS_MODE 077u

static bool is_given(const char *text)
{
    return text != NULL && *text != '\0';
}

static bool tls_holds_keys(const struct config_tls *tls)
{
    return tls->auto_tls || is_given(tls->key_file) || is_given(tls->client_key_file);
}

/* Whether this configuration brings a private key into memory. */
static bool holds_keys(const struct server_config *config)
{
    return tls_holds_keys(&config->client_tls) || tls_holds_keys(&config->peer_tls) ||
           is_given(config->discovery.key) ||
           (is_given(config->auth_token) && strstr(config->auth_token, "priv-key") != NULL);
}

static void forbid_dumps(const struct server_config *config)
{
    if (!holds_keys(config) || config->allow_memory_dumps) {
        return;
    }
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        LOG_WARN("core files and debuggers cannot be kept from private keys",
                 LOG_STR("error", strerrordesc_np(errno)));
        return;
    }
    LOG_INFO("private keys are held: no core files and no debuggers (--allow-memory-dumps)");
}

static int lock_memory(struct err *err)
{
    /* On fault: the map of the store is much larger than what is in it. */
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
        return err_set(err, E_PERMISSION,
                       "--memory-mlock: %s: it needs CAP_IPC_LOCK, or a limit for locked memory "
                       "(ulimit -l) above the quota of the key space",
                       strerrordesc_np(errno));
    }
    return 0;
}

static void look_at_dir(const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0 && (info.st_mode & OTHERS_MODE) != 0) {
        char mode[16];
        (void)snprintf(mode, sizeof(mode), "%04o", (unsigned)info.st_mode & 07777u);
        LOG_WARN("others can look into a directory of data: chmod 700 it", LOG_STR("path", path),
                 LOG_STR("mode", mode));
    }
}

int harden(const struct server_config *config, struct err *err)
{
    forbid_dumps(config);
    look_at_dir(config->data_dir);
    if (is_given(config->wal_dir)) {
        look_at_dir(config->wal_dir);
    }
    return config->memory_mlock ? lock_memory(err) : 0;
}
