/* SPDX-License-Identifier: Apache-2.0 */
/* `snapshot restore`: flags as etcdutl has them; the work is engine/server/restore's. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "ctl/output.h"
#include "ctl/report/format.h"
#include "ctl/snapshot.h"
#include "engine/server/restore.h"

#define NUMBER_BYTES 32u

static void format_result(const struct restore_result *result, const char *data_dir,
                          enum output_format format, struct buf *out)
{
    char member[NUMBER_BYTES], cluster[NUMBER_BYTES], revision[NUMBER_BYTES], members[NUMBER_BYTES];
    snprintf(member, sizeof(member), "%" PRIx64, result->member_id);
    snprintf(cluster, sizeof(cluster), "%" PRIx64, result->cluster_id);
    snprintf(revision, sizeof(revision), "%" PRId64, result->revision);
    snprintf(members, sizeof(members), "%zu", result->member_count);
    if (format == OUTPUT_SIMPLE) {
        buf_printf(out,
                   "Snapshot restored to %s: member %s of cluster %s (%s in all), revision %s\n",
                   data_dir, member, cluster, members, revision);
        return;
    }
    const struct format_column columns[] = {
        {"data dir", "dataDir", "DataDir", data_dir, NULL, false},
        {"member", "memberID", "MemberID", member, NULL, false},
        {"cluster", "clusterID", "ClusterID", cluster, NULL, false},
        {"members", "members", "Members", members, NULL, true},
        {"revision", "revision", "Revision", revision, NULL, true},
    };
    format_row(columns, ARRAY_COUNT(columns), format, out);
}

static int check_flags(const struct ctl_values *values, enum output_format *out_format,
                       struct err *err)
{
    int rc = output_format_parse(values->write_out, out_format, err);
    if (rc == 0 && (values->bump_revision > 0) != values->mark_compacted) {
        rc = err_set(err, E_INVALID,
                     "--bump-revision and --mark-compacted go together: a revision that jumps "
                     "without a compaction leaves old watches waiting");
    }
    return rc;
}

int snapshot_restore(const struct ctl_values *values, char *const *args)
{
    enum output_format format;
    struct restore_result result;
    struct err err = {{0}};
    struct buf text;
    char *data_dir = values->data_dir[0] != '\0' ? str_dup(values->data_dir)
                                                 : str_printf("%s.etcd", values->name);
    char *cluster = values->initial_cluster[0] != '\0'
                        ? str_dup(values->initial_cluster)
                        : str_printf("%s=http://localhost:2380", values->name);
    struct restore_options options = {
        .snapshot_path = args[0],
        .name = values->name,
        .initial_cluster = cluster,
        .initial_cluster_token = values->initial_cluster_token,
        .advertise_peer_urls = values->initial_advertise_peer_urls,
        .data_dir = data_dir,
        .wal_dir = values->wal_dir,
        .skip_hash_check = values->skip_hash_check,
        .bump_revision = values->bump_revision,
    };
    int code = 0;
    if (check_flags(values, &format, &err) != 0 || restore_check(&options, &err) != 0) {
        (void)output_fail(&err);
        code = EXIT_BAD_ARGS;
    } else if (restore_run(disk_posix(), &options, &result, &err) != 0) {
        code = output_fail(&err);
    } else {
        buf_init(&text, BUF_NO_LIMIT);
        format_result(&result, data_dir, format, &text);
        code = output_print(&text);
        buf_free(&text);
    }
    mem_free(data_dir);
    mem_free(cluster);
    return code;
}
