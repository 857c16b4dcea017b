// SPDX-License-Identifier: Apache-2.0
// What users of jetcd do, over TLS with a certificate. Prints one line per step; the lines are the same for every
// server that is an etcd.   usage: java -cp JARS Jetcd.java URL CA CERT KEY

import io.etcd.jetcd.*;
import io.etcd.jetcd.auth.Permission;
import io.etcd.jetcd.election.CampaignResponse;
import io.etcd.jetcd.kv.*;
import io.etcd.jetcd.lease.LeaseKeepAliveResponse;
import io.etcd.jetcd.op.*;
import io.etcd.jetcd.options.*;
import io.etcd.jetcd.support.*;
import io.etcd.jetcd.watch.*;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.Collectors;

public class Jetcd {
    static final int WAIT_SECONDS = 30;
    static String[] files;

    interface Call {
        Object run() throws Exception;
    }

    static ByteSequence bytes(String text) {
        return ByteSequence.from(text, StandardCharsets.UTF_8);
    }

    static String text(ByteSequence bytes) {
        return bytes.toString(StandardCharsets.UTF_8);
    }

    static void say(String step, Object... results) {
        System.out.println(step + ": " + Arrays.stream(results).map(String::valueOf).collect(Collectors.joining(" ")));
    }

    static <T> T get(CompletableFuture<T> future) throws Exception {
        return future.get(WAIT_SECONDS, TimeUnit.SECONDS);
    }

    /** The words of the innermost reason why a call fails. */
    static String error(Call call) {
        try {
            call.run();
            return "none";
        } catch (Exception failure) {
            Throwable reason = failure;
            while (reason.getCause() != null) {
                reason = reason.getCause();
            }
            return String.valueOf(reason.getMessage());
        }
    }

    static ClientBuilder builder() throws Exception {
        return Client.builder().endpoints(files[0]).sslContext(
            b -> b.trustManager(new File(files[1])).keyManager(new File(files[2]), new File(files[3])));
    }

    static void keysAndValues(KV kv) throws Exception {
        get(kv.put(bytes("a"), bytes("1")));
        say("get", text(get(kv.get(bytes("a"))).getKvs().get(0).getValue()), get(kv.get(bytes("none"))).getCount());
        PutResponse put = get(kv.put(bytes("a"), bytes("2"), PutOption.builder().withPrevKV().build()));
        say("put again", text(put.getPrevKv().getValue()));
        for (int i = 0; i < 5; i++) {
            get(kv.put(bytes("p/" + i), bytes("" + i)));
        }
        GetResponse page = get(kv.get(bytes("p/"), GetOption.builder().isPrefix(true).withLimit(2).build()));
        say("page", page.getKvs().size(), page.getCount(), page.isMore());
        GetResponse back = get(kv.get(bytes("p/"), GetOption.builder().isPrefix(true).withKeysOnly(true)
            .withSortField(GetOption.SortTarget.KEY).withSortOrder(GetOption.SortOrder.DESCEND).build()));
        say("backwards", back.getKvs().stream().map(p -> text(p.getKey())).collect(Collectors.toList()));
        long revision = page.getHeader().getRevision();
        say("delete", get(kv.delete(bytes("p/"), DeleteOption.builder().isPrefix(true).build())).getDeleted());
        say("as it was", get(kv.get(bytes("p/"), GetOption.builder().isPrefix(true).withRevision(revision)
            .withCountOnly(true).build())).getCount());
        say("the future", error(() -> get(kv.get(bytes("a"), GetOption.builder().withRevision(1L << 40).build()))));
        get(kv.compact(revision));
        say("compacted", error(() -> get(kv.get(bytes("a"), GetOption.builder().withRevision(1).build()))));
    }

    static void transactions(KV kv) throws Exception {
        get(kv.put(bytes("t"), bytes("1")));
        for (int turn = 0; turn < 2; turn++) {
            TxnResponse txn = get(kv.txn().If(new Cmp(bytes("t"), Cmp.Op.EQUAL, CmpTarget.value(bytes("1"))))
                .Then(Op.put(bytes("t"), bytes("2"), PutOption.DEFAULT), Op.get(bytes("t"), GetOption.DEFAULT))
                .Else(Op.delete(bytes("t"), DeleteOption.DEFAULT)).commit());
            say("txn", txn.isSucceeded(), txn.getPutResponses().size(), txn.getGetResponses().size(),
                txn.getDeleteResponses().size());
        }
    }

    static void watches(Client client) throws Exception {
        BlockingQueue<WatchEvent> events = new LinkedBlockingQueue<>();
        CountDownLatch completed = new CountDownLatch(1);
        long revision = get(client.getKVClient().put(bytes("w/0"), bytes("0"))).getHeader().getRevision();
        Watch.Watcher watcher = client.getWatchClient().watch(bytes("w/"),
            WatchOption.builder().isPrefix(true).withRevision(revision).withPrevKV(true).build(),
            Watch.listener(answer -> events.addAll(answer.getEvents()), failure -> { }, completed::countDown));
        get(client.getKVClient().put(bytes("w/1"), bytes("a")));
        get(client.getKVClient().put(bytes("w/1"), bytes("b")));
        get(client.getKVClient().delete(bytes("w/1")));
        List<String> seen = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            WatchEvent event = events.poll(WAIT_SECONDS, TimeUnit.SECONDS);
            seen.add(event.getEventType() + " " + text(event.getKeyValue().getKey()) + " "
                + text(event.getKeyValue().getValue()) + " " + text(event.getPrevKV().getValue()));
        }
        watcher.close();
        say("watch", seen, completed.await(WAIT_SECONDS, TimeUnit.SECONDS));
    }

    static void leases(Client client) throws Exception {
        Lease leases = client.getLeaseClient();
        long id = get(leases.grant(60)).getID();
        get(client.getKVClient().put(bytes("l"), bytes("1"), PutOption.builder().withLeaseId(id).build()));
        say("lease", get(leases.timeToLive(id, LeaseOption.builder().withAttachedKeys().build())).getKeys().size(),
            get(leases.keepAliveOnce(id)).getTTL());
        CountDownLatch alive = new CountDownLatch(1);
        CloseableClient keeper = leases.keepAlive(id, Observers.observer((LeaseKeepAliveResponse a) -> alive.countDown()));
        say("kept alive", alive.await(WAIT_SECONDS, TimeUnit.SECONDS));
        keeper.close();
        get(leases.revoke(id));
        say("revoked", get(client.getKVClient().get(bytes("l"))).getCount(), error(() -> get(leases.revoke(id))));
    }

    static void locksAndElections(Client client) throws Exception {
        Lock locks = client.getLockClient();
        long first = get(client.getLeaseClient().grant(60)).getID();
        long second = get(client.getLeaseClient().grant(60)).getID();
        ByteSequence held = get(locks.lock(bytes("lock"), first)).getKey();
        CompletableFuture<?> waiting = locks.lock(bytes("lock"), second);
        Thread.sleep(300);
        say("lock", text(held).startsWith("lock/"), waiting.isDone());
        get(locks.unlock(held));
        get(waiting);
        say("the next one has it", true);
        Election elections = client.getElectionClient();
        BlockingQueue<String> leaders = new LinkedBlockingQueue<>();
        elections.observe(bytes("race"), new Election.Listener() {
            public void onNext(io.etcd.jetcd.election.LeaderResponse answer) {
                leaders.add(text(answer.getKv().getValue()));
            }
            public void onError(Throwable failure) { }
            public void onCompleted() { }
        });
        CampaignResponse won = get(elections.campaign(bytes("race"), first, bytes("one")));
        get(elections.proclaim(won.getLeader(), bytes("still one")));
        say("leader", text(get(elections.leader(bytes("race"))).getKv().getValue()));
        get(elections.resign(won.getLeader()));
        String seen = "";
        while (!seen.equals("still one")) {
            seen = leaders.poll(WAIT_SECONDS, TimeUnit.SECONDS);
        }
        say("observed", seen, error(() -> get(elections.leader(bytes("race")))));
    }

    static void access(Client client) throws Exception {
        Auth auth = client.getAuthClient();
        for (String role : List.of("root", "reader")) {
            get(auth.roleAdd(bytes(role)));
        }
        get(auth.roleGrantPermission(bytes("reader"), bytes("r/"), bytes("r0"), Permission.Type.READ));
        for (String[] pair : new String[][] {{"root", "root"}, {"anna", "reader"}}) {
            get(auth.userAdd(bytes(pair[0]), bytes(pair[0] + "-secret")));
            get(auth.userGrantRole(bytes(pair[0]), bytes(pair[1])));
        }
        get(client.getKVClient().put(bytes("r/1"), bytes("mine")));
        get(auth.authEnable());
        try (Client anna = builder().user(bytes("anna")).password(bytes("anna-secret")).build();
             Client root = builder().user(bytes("root")).password(bytes("root-secret")).build();
             Client wrong = builder().user(bytes("anna")).password(bytes("x")).build()) {
            say("anna reads", text(get(anna.getKVClient().get(bytes("r/1"))).getKvs().get(0).getValue()));
            say("anna writes", error(() -> get(anna.getKVClient().put(bytes("r/1"), bytes("x")))));
            say("a wrong password", error(() -> get(wrong.getKVClient().get(bytes("r/1")))));
            say("users", get(root.getAuthClient().userList()).getUsers());
            say("rights", get(root.getAuthClient().roleGet(bytes("reader"))).getPermissions().size());
            get(root.getAuthClient().authDisable());
        }
        say("without rights again", get(client.getKVClient().get(bytes("r/1"))).getCount());
        for (String user : List.of("anna", "root")) {
            get(auth.userDelete(bytes(user)));
        }
        for (String role : List.of("reader", "root")) {
            get(auth.roleDelete(bytes(role)));
        }
    }

    static void maintenance(Client client) throws Exception {
        Maintenance maintenance = client.getMaintenanceClient();
        say("status", get(maintenance.statusMember(files[0])).getVersion().startsWith("3.6."));
        say("members", get(client.getClusterClient().listMember()).getMembers().size());
        say("alarms", get(maintenance.listAlarms()).getAlarms().size());
        get(maintenance.defragmentMember(files[0]));
        say("hash", get(maintenance.hashKV(files[0], 0)).getHash() != 0);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        get(maintenance.snapshot(out).thenApply(size -> size));
        byte[] data = out.toByteArray();
        byte[] sum = MessageDigest.getInstance("SHA-256").digest(Arrays.copyOf(data, data.length - 32));
        say("snapshot", data.length % 512, Arrays.equals(sum, Arrays.copyOfRange(data, data.length - 32, data.length)));
    }

    public static void main(String[] arguments) throws Exception {
        files = arguments;
        try (Client client = builder().build()) {
            keysAndValues(client.getKVClient());
            transactions(client.getKVClient());
            watches(client);
            leases(client);
            locksAndElections(client);
            access(client);
            maintenance(client);
        }
        say("end");
        System.exit(0);
    }
}
