/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way from state to effects: what is to be persisted, applied, answered; and the tickets that
 * say what is durable. Several flushes may be in flight; they end in the order they were taken.
 */
#include "engine/raft/raft_internal.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/plant.h"

static void lent_return(struct raft_lent_entries *lent)
{
    for (uint32_t i = 0; i < lent->count; i++) {
        raft_payload_unref(lent->entries[i].payload);
    }
    lent->count = 0;
}

static void lent_fill(struct raft_lent_entries *lent, const struct raft_log *log, uint64_t first,
                      uint32_t count)
{
    ASSERT(lent->count == 0);
    lent->entries = raft_array_grow(lent->entries, &lent->capacity, count, sizeof(*lent->entries));
    for (uint32_t i = 0; i < count; i++) {
        lent->entries[i] = *raft_log_at(log, first + i);
        raft_payload_ref(lent->entries[i].payload);
    }
    lent->count = count;
}

void raft_push_read_state(struct raft *raft, const struct raft_read_state *state)
{
    raft->read_states = raft_array_grow(raft->read_states, &raft->read_state_capacity,
                                        raft->read_state_count + 1, sizeof(*raft->read_states));
    raft->read_states[raft->read_state_count++] = *state;
}

void raft_clamp_tickets(struct raft *raft, uint64_t last_index)
{
    for (uint32_t i = 0; i < raft->ticket_count; i++) {
        raft->tickets[i].last_index = BASE_MIN(raft->tickets[i].last_index, last_index);
    }
}

void raft_persisted(struct raft *raft, uint64_t ticket)
{
    ASSERT(ticket < raft->next_ticket);
    uint32_t done = 0;
    while (done < raft->ticket_count && raft->tickets[done].ticket <= ticket) {
        /* Lowered by truncation meanwhile, so it never speaks for entries that were replaced. */
        raft->log.persisted = BASE_MAX(raft->log.persisted, raft->tickets[done].last_index);
        done++;
    }
    ASSERT(raft->log.persisted <= raft->log.emitted);
    raft->ticket_count -= done;
    if (done > 0 && raft->ticket_count > 0) {
        memmove(raft->tickets, raft->tickets + done, raft->ticket_count * sizeof(*raft->tickets));
    }
    raft->persisted_ticket = BASE_MAX(raft->persisted_ticket, ticket);
    raft_self_persisted(raft);
    raft_suspect_maybe_clear(raft);
}

static void effects_persist(struct raft *raft, struct raft_effects *out)
{
    struct raft_log *log = &raft->log;
    struct raft_hard_state now = {.term = raft->term, .vote = raft->vote, .commit = log->commit};
    const struct raft_hard_state *before = &raft->emitted_hard_state;
    out->must_sync = raft_must_persist(raft);
    out->hard_state = now;
    if (PLANT(vote_not_persisted)) {
        out->hard_state.vote = RAFT_NO_ID;
    }
    out->hard_state_changed = now.term != before->term || now.vote != before->vote ||
                              now.commit != before->commit || raft->conf_unflushed;
    if (PLANT(state_only_with_entries) && log->emitted == log->last_index) {
        out->hard_state_changed = false;
    }
    out->has_persist = out->must_sync || out->hard_state_changed;
    if (raft->install_state == RAFT_INSTALL_WANTED) {
        out->install = &raft->install_mark;
        raft->install_state = RAFT_INSTALL_GIVEN;
    }
    if (!out->has_persist) {
        return;
    }
    ASSERT(log->last_index - log->emitted <= UINT32_MAX);
    lent_fill(&raft->lent_persist, log, log->emitted + 1,
              (uint32_t)(log->last_index - log->emitted));
    out->entries = raft->lent_persist.entries;
    out->entry_count = raft->lent_persist.count;
    out->persist_ticket = raft->next_ticket++;
    if (out->must_sync) {
        raft->last_sync_ticket = out->persist_ticket;
    }
    raft->tickets = raft_array_grow(raft->tickets, &raft->ticket_capacity, raft->ticket_count + 1,
                                    sizeof(*raft->tickets));
    raft->tickets[raft->ticket_count++] =
        (struct raft_ticket){.ticket = out->persist_ticket, .last_index = log->last_index};
    log->emitted = log->last_index;
    raft->emitted_hard_state = now;
    raft->conf_unflushed = false;
}

/* Only what is committed and durable here: the state machine never runs ahead of the own log. */
static void effects_apply(struct raft *raft, struct raft_effects *out)
{
    struct raft_log *log = &raft->log;
    uint64_t last = BASE_MIN(log->commit, log->persisted);
    if (raft->install_state != RAFT_INSTALL_NONE || last <= log->handed) {
        return;
    }
    last = BASE_MIN(last, log->handed + RAFT_APPLY_ENTRIES_MAX);
    uint32_t count = raft_log_count_within(log, log->handed + 1, last, RAFT_APPLY_BYTES_MAX);
    lent_fill(&raft->lent_apply, log, log->handed + 1, count);
    log->handed += count;
    out->committed = raft->lent_apply.entries;
    out->committed_count = count;
}

static void effects_messages(struct raft *raft, struct raft_effects *out)
{
    struct raft_outbox empty = raft->given;
    empty.count = 0; /* its messages belong to the caller since the last time */
    raft->given = raft->outbox;
    raft->outbox = empty;
    out->messages_now = raft->given.messages;
    out->message_now_count = raft->given.count;
}

static void effects_reads(struct raft *raft, struct raft_effects *out)
{
    struct raft_read_state *states = raft->read_states;
    uint32_t capacity = raft->read_state_capacity;
    out->reads = states;
    out->read_count = raft->read_state_count;
    raft->read_states = raft->given_reads;
    raft->read_state_capacity = raft->given_read_capacity;
    raft->read_state_count = 0;
    raft->given_reads = states;
    raft->given_read_capacity = capacity;
}

bool raft_take_effects(struct raft *raft, struct raft_effects *out)
{
    *out = (struct raft_effects){0};
    lent_return(&raft->lent_persist);
    lent_return(&raft->lent_apply);
    raft_release_promises(raft);
    raft_flush_reads(raft);
    raft_flush_appends(raft);
    raft_flush_snapshots(raft);
    effects_messages(raft, out);
    effects_persist(raft, out);
    effects_apply(raft, out);
    effects_reads(raft, out);
    out->role_changed = raft->role != raft->shown_role || raft->leader != raft->shown_leader ||
                        raft->term != raft->shown_term;
    raft->shown_role = raft->role;
    raft->shown_leader = raft->leader;
    raft->shown_term = raft->term;
    ASSERT(out->install == NULL || out->has_persist);
    return out->message_now_count != 0 || out->has_persist || out->committed_count != 0 ||
           out->read_count != 0 || out->role_changed;
}

void raft_effects_free(struct raft *raft)
{
    lent_return(&raft->lent_persist);
    lent_return(&raft->lent_apply);
    mem_free(raft->lent_persist.entries);
    mem_free(raft->lent_apply.entries);
    for (uint32_t i = 0; i < raft->outbox.count; i++) {
        raft_message_clear(&raft->outbox.messages[i]);
    }
    mem_free(raft->outbox.messages);
    mem_free(raft->given.messages);
    for (uint32_t i = 0; i < raft->waiting_count; i++) {
        uint32_t place = (raft->waiting_start + i) % raft->waiting_capacity;
        raft_message_clear(&raft->waiting[place].message);
    }
    mem_free(raft->waiting);
    mem_free(raft->tickets);
    mem_free(raft->read_states);
    mem_free(raft->given_reads);
}
