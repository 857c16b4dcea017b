/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a member does when its disk is full, or does not answer. Full: nothing is lost and nobody
 * stops; this member takes no more entries, answers reads, votes, and goes on when there is room
 * again. Silent: everything waits for the flush, so a leader whose flush does not end must not keep
 * its cluster waiting. In both cases a leader offers its place to a follower.
 */
#include "base/log.h"
#include "engine/server/internal.h"

/* A cluster whose disks are all full must not pass leadership round and round. */
#define FULL_OFFER_INTERVAL_MS 60000u

bool disk_is_full(const struct server *server)
{
    return atomic_load(&server->shared.store_waits_for_space) ||
           (server->wal != NULL && wal_is_short_of_space(server->wal));
}

void disk_watch_flush_begins(struct server *server)
{
    if (server->flushes_running++ == 0) {
        server->flush_progress_ms = server_now_ms(server);
    }
}

void disk_watch_flush_ended(struct server *server, uint32_t count)
{
    ASSERT(count <= server->flushes_running);
    server->flushes_running -= count;
    server->flush_progress_ms = server_now_ms(server);
}

/* The voter that holds most of the log and was heard of; RAFT_NO_ID: none. */
static uint64_t best_successor(const struct server *server)
{
    uint64_t best = RAFT_NO_ID;
    uint64_t best_match = 0;
    for (uint32_t i = 0; i < server->conf_state.voter_count; i++) {
        struct raft_progress_status progress;
        uint64_t id = server->conf_state.voters[i];
        if (id != server->member_id && raft_progress_of(server->raft, id, &progress) == 0 &&
            progress.recent_active && progress.match_index > best_match) {
            best = id;
            best_match = progress.match_index;
        }
    }
    return best;
}

static void offer_leadership(struct server *server, const char *reason)
{
    uint64_t target = best_successor(server);
    if (target != RAFT_NO_ID) {
        LOG_WARN("offering the leadership to another member", LOG_STR("reason", reason),
                 LOG_HEX("transferee-member-id", target));
        raft_transfer_leader(server->raft, target);
    }
}

/* First a follower is asked to take over, which costs the clients a moment; if that fails, this
 * leader falls silent and the others elect. */
static void check_flush(struct server *server, const struct raft_status *status, uint64_t now)
{
    uint64_t timeout = (uint64_t)server->config->election_ms;
    uint64_t silent = now - server->flush_progress_ms;
    if (server->flushes_running == 0 || silent < timeout) {
        return;
    }
    if (silent >= 2 * timeout) {
        LOG_WARN("the disk does not answer: this leader steps down", LOG_U64("waiting-ms", silent));
        raft_step_down(server->raft);
    } else if (status->transfer_target == RAFT_NO_ID) {
        offer_leadership(server, "a flush of the log does not end");
    }
}

static void check_space(struct server *server, const struct raft_status *status, uint64_t now)
{
    bool full = disk_is_full(server);
    if (full != server->disk_was_full) {
        server->disk_was_full = full;
        if (full) {
            LOG_WARN("the disk is full: no more writes are taken until there is room",
                     LOG_STR("dir", server->member_dir));
        } else {
            LOG_INFO("the disk has room again", LOG_STR("dir", server->member_dir));
        }
    }
    if (full && status->role == RAFT_LEADER &&
        (server->full_offer_ms == 0 || now - server->full_offer_ms > FULL_OFFER_INTERVAL_MS)) {
        server->full_offer_ms = now;
        offer_leadership(server, "the disk is full");
    }
}

void disk_watch_tick(struct server *server)
{
    struct raft_status status;
    uint64_t now = server_now_ms(server);
    raft_status(server->raft, &status);
    check_space(server, &status, now);
    if (status.role == RAFT_LEADER) {
        check_flush(server, &status, now);
    }
}

/* A new leader's empty entry must get through, or nobody could read; changes of the membership may
 * be the way out. */
static bool is_needed_to_live(const struct raft_message *message)
{
    for (uint32_t i = 0; i < message->entry_count; i++) {
        if (message->entries[i].type == RAFT_ENTRY_NORMAL && message->entries[i].payload != NULL) {
            return false;
        }
    }
    return true;
}

bool disk_watch_takes(const struct server *server, const struct raft_message *message)
{
    switch (message->type) {
    case RAFT_MSG_PROP:
        return !disk_is_full(server) || is_needed_to_live(message);
    case RAFT_MSG_APP:
        return !wal_is_out_of_space(server->wal) || is_needed_to_live(message);
    default:
        return true;
    }
}
