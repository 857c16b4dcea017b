/* SPDX-License-Identifier: Apache-2.0 */
/* One core and its surroundings (see lib_rig.h). */
#include "lib_rig.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"

struct rig *rig_new_with(struct raft_config config)
{
    config.id = config.id == 0 ? 1 : config.id;
    config.election_ticks = 10;
    config.heartbeat_ticks = config.heartbeat_ticks == 0 ? 1 : config.heartbeat_ticks;
    config.max_message_bytes = config.max_message_bytes == 0 ? 1024 : config.max_message_bytes;
    config.max_inflight = config.max_inflight == 0 ? 4 : config.max_inflight;
    struct rig *rig = mem_zalloc(sizeof(*rig));
    rig->raft = raft_new(&config);
    rig->id = config.id;
    rig->applied = config.applied_index;
    return rig;
}

struct rig *rig_new(uint32_t voters, uint64_t learner)
{
    struct raft_config config = {.pre_vote = true, .check_quorum = true};
    struct raft_conf_state *conf = &config.mark.conf_state;
    for (uint32_t i = 0; i < voters; i++) {
        conf->voters[conf->voter_count++] = i + 1;
    }
    if (learner != RAFT_NO_ID) {
        conf->learners[conf->learner_count++] = learner;
    }
    return rig_new_with(config);
}

void rig_free(struct rig *rig)
{
    rig_forget(rig);
    raft_free(rig->raft);
    mem_free(rig);
}

static void rig_take(struct rig *rig, const struct raft_effects *effects)
{
    for (uint32_t i = 0; i < effects->message_now_count; i++) {
        ASSERT(rig->sent_count < RIG_MESSAGES_MAX);
        rig->sent[rig->sent_count++] = effects->messages_now[i];
    }
    if (effects->install != NULL) {
        rig->install_wanted = true;
        rig->install = *effects->install;
    }
    if (effects->has_persist) {
        rig->ticket = effects->persist_ticket;
        if (effects->must_sync) {
            rig->synced_commit = effects->hard_state.commit;
        }
    }
    for (uint32_t i = 0; i < effects->committed_count; i++) {
        ASSERT(effects->committed[i].index == rig->applied + 1);
        rig->applied++;
    }
    for (uint32_t i = 0; i < effects->read_count; i++) {
        rig->reads[rig->read_count++ % ARRAY_COUNT(rig->reads)] = effects->reads[i];
    }
}

void rig_run(struct rig *rig)
{
    struct raft_effects effects;
    while (raft_take_effects(rig->raft, &effects)) {
        rig_take(rig, &effects);
        if (!rig->hold_disk && rig->ticket != 0) {
            raft_persisted(rig->raft, rig->ticket);
        }
        if (!rig->hold_apply) {
            raft_applied(rig->raft, rig->applied);
        }
    }
}

void rig_flush(struct rig *rig)
{
    raft_persisted(rig->raft, rig->ticket);
    rig_run(rig);
}

void rig_step(struct rig *rig, struct raft_message message)
{
    message.to = rig->id;
    bool has_term = message.type != RAFT_MSG_PROP && message.type != RAFT_MSG_READ_INDEX;
    if (message.term == 0 && has_term) {
        message.term = rig_status(rig).term;
    }
    raft_step(rig->raft, &message);
    rig_run(rig);
}

void rig_tick(struct rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        raft_tick(rig->raft);
        rig_run(rig);
    }
}

const struct raft_message *rig_sent(const struct rig *rig, enum raft_message_type type, uint64_t to)
{
    for (uint32_t i = rig->sent_count; i > 0; i--) {
        const struct raft_message *message = &rig->sent[i - 1];
        if (message->type == type && message->to == to) {
            return message;
        }
    }
    return NULL;
}

uint32_t rig_sent_count(const struct rig *rig, enum raft_message_type type, uint64_t to)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rig->sent_count; i++) {
        count += rig->sent[i].type == type && rig->sent[i].to == to ? 1u : 0u;
    }
    return count;
}

void rig_forget(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->sent_count; i++) {
        raft_message_clear(&rig->sent[i]);
    }
    rig->sent_count = 0;
}

void rig_lead(struct rig *rig)
{
    raft_campaign(rig->raft);
    rig_run(rig);
    for (uint64_t peer = 2; peer <= 3 && rig_status(rig).role == RAFT_PRE_CANDIDATE; peer++) {
        rig_step(rig, (struct raft_message){.type = RAFT_MSG_PRE_VOTE_RESP,
                                            .from = peer,
                                            .term = rig_status(rig).term + 1});
    }
    for (uint64_t peer = 2; peer <= 3 && rig_status(rig).role == RAFT_CANDIDATE; peer++) {
        rig_step(rig, (struct raft_message){.type = RAFT_MSG_VOTE_RESP, .from = peer});
    }
    ASSERT(rig_status(rig).role == RAFT_LEADER);
    rig_forget(rig);
}

void rig_ack(struct rig *rig, uint64_t peer, uint64_t index)
{
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_APP_RESP, .from = peer, .index = index});
}

void rig_propose(struct rig *rig, const char *text)
{
    struct raft_payload *payload = raft_payload_new(bytes_of_str(text));
    int rc = raft_propose(rig->raft, &payload, 1);
    ASSERT(rc == E_OK);
    rig_run(rig);
}

void rig_append(struct rig *rig, uint64_t term, uint64_t prev, uint64_t prev_term, uint64_t last,
                uint64_t commit)
{
    rig_step(rig, (struct raft_message){
                      .type = RAFT_MSG_APP,
                      .from = 2,
                      .term = term,
                      .index = prev,
                      .log_term = prev_term,
                      .commit = commit,
                      .entries = last > prev ? rig_entries(prev + 1, last, term) : NULL,
                      .entry_count = (uint32_t)(last > prev ? last - prev : 0),
                  });
}

struct raft_conf_state rig_change(struct rig *rig, enum raft_conf_change_type type, uint64_t id)
{
    struct raft_conf_state conf;
    raft_apply_conf_change(rig->raft, &(struct raft_conf_change){type, id}, &conf);
    raft_applied(rig->raft, rig->applied);
    rig_run(rig);
    return conf;
}

struct raft_message rig_read_answer(const struct rig *rig, uint64_t index)
{
    const struct raft_message *ask = rig_sent(rig, RAFT_MSG_READ_INDEX, 2);
    ASSERT(ask != NULL);
    struct raft_message answer = {.type = RAFT_MSG_READ_INDEX_RESP, .from = 2, .index = index};
    answer.context_size = ask->context_size;
    memcpy(answer.context, ask->context, ask->context_size);
    return answer;
}

struct raft_entry *rig_entries(uint64_t first, uint64_t last, uint64_t term)
{
    struct raft_entry *entries = mem_array((size_t)(last - first + 1), sizeof(*entries));
    for (uint64_t i = first; i <= last; i++) {
        entries[i - first] = (struct raft_entry){.index = i, .term = term};
    }
    return entries;
}

struct raft_status rig_status(const struct rig *rig)
{
    struct raft_status status;
    raft_status(rig->raft, &status);
    return status;
}

struct raft_progress_status rig_progress(const struct rig *rig, uint64_t id)
{
    struct raft_progress_status status = {0};
    int rc = raft_progress_of(rig->raft, id, &status);
    ASSERT(rc == E_OK);
    return status;
}
