/* dead-peer: a peer that vanishes says nothing; how long until anyone notices. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "lab/lab.h"
#include "lab/tcp_info.h"
#include "lab/world.h"

enum {
	RETRIES_SHOWN = 3,
	WATCH_MS = 4000,
	USER_TIMEOUT_MS = 1000,
	KEEP_IDLE_S = 1,
	KEEP_INTERVAL_S = 1,
	KEEP_COUNT = 2,
	PING_MS = 500,
	RETRY_MAX_MS = 120000,
};

/* A connection between the two machines; false with errno. */
static bool world_pair(struct lab *lab, const struct lab_world *world, struct lab_pair *ret_pair)
{
	struct sockaddr_in address = lab_world_address(LAB_SERVER, 0);
	socklen_t length = sizeof(address);
	struct lab_pair pair;

	pair.listener = lab_world_socket(lab, world, LAB_SERVER, SOCK_STREAM);
	pair.client = lab_world_socket(lab, world, LAB_CLIENT, SOCK_STREAM);
	if (pair.listener < 0 || pair.client < 0 ||
	    bind(pair.listener, (struct sockaddr *)&address, length) < 0 ||
	    listen(pair.listener, 5) < 0 ||
	    getsockname(pair.listener, (struct sockaddr *)&address, &length) < 0 ||
	    connect(pair.client, (struct sockaddr *)&address, length) < 0)
		return false;
	pair.server = lab_accept(lab, pair.listener);
	*ret_pair = pair;
	return pair.server >= 0;
}

/* What the defaults would come to; nobody waits for it here. */
static void settings(struct lab *lab, double first_retry_ms)
{
	long idle = lab_witness_setting(lab, "net/ipv4/tcp_keepalive_time");
	long interval = lab_witness_setting(lab, "net/ipv4/tcp_keepalive_intvl");
	long probes = lab_witness_setting(lab, "net/ipv4/tcp_keepalive_probes");
	long retries = lab_witness_setting(lab, "net/ipv4/tcp_retries2");
	double wait_ms = first_retry_ms, total_ms = 0;

	for (long i = 0; i <= retries; i++) {
		total_ms += wait_ms;
		wait_ms = wait_ms * 2 < RETRY_MAX_MS ? wait_ms * 2 : RETRY_MAX_MS;
	}
	lab_note(lab,
		 LAB_TEXT("with keepalive switched on, from these settings:",
			  "若打开 keepalive，按这些设置要等："),
		 "%ld s", idle + interval * probes);
	if (first_retry_ms > 0)
		lab_note(lab,
			 LAB_TEXT("with data under way, from these settings:",
				  "若有数据在途，按这些设置要等："),
			 "%.0f s", total_ms / 1e3);
}

static void keepalive_default(struct lab *lab)
{
	struct lab_pair pair;
	int on;

	lab_part(lab, LAB_TEXT("What is switched on by default", "默认打开了什么"));
	lab_quiet(lab, true);
	if (!lab_tcp_pair(lab, &pair))
		return;
	lab_quiet(lab, false);
	on = lab_get_option(pair.client, SOL_SOCKET, SO_KEEPALIVE);
	lab_witness(lab, "getsockopt", "SO_KEEPALIVE %d", on);
	settings(lab, lab_tcp_info(pair.client).tcpi_rto / 1e3);
	lab_truth(lab, lab_if(on == 0),
		  LAB_TEXT("keepalive is off by default", "keepalive 默认是关闭的"),
		  "SO_KEEPALIVE=%d", on);
}

/* Waits for the first retransmissions of one connection and notes when each happened. */
static unsigned watch_retries(struct lab *lab, int fd, double at_ms[RETRIES_SHOWN])
{
	uint64_t began = lab_now_ns();
	unsigned seen = 0;

	while (seen < RETRIES_SHOWN && lab_ms_since(began) < WATCH_MS) {
		if (lab_tcp_info(fd).tcpi_retransmits > seen) {
			at_ms[seen++] = lab_ms_since(began);
			lab_note(lab, LAB_TEXT("sent again, number", "重传，第几次："), "%u", seen);
		}
		poll(NULL, 0, 2);
	}
	return seen;
}

static void by_default(struct lab *lab, const struct lab_world *world)
{
	struct lab_pair idle, busy;
	double at_ms[RETRIES_SHOWN] = {0}, ratio;
	unsigned seen, idle_state;
	ssize_t sent;

	lab_quiet(lab, true);
	if (!world_pair(lab, world, &idle) || !world_pair(lab, world, &busy) ||
	    !lab_world_vanish(world)) {
		lab_trouble(lab, "veth");
		return;
	}
	lab_quiet(lab, false);
	lab_restart_clock(lab);
	lab_remark(lab, LAB_TEXT("the server vanishes from the net", "服务器从网上消失"));
	sent = lab_send(lab, busy.client, "data", 4, 0);
	seen = watch_retries(lab, busy.client, at_ms);
	idle_state = lab_tcp_info(idle.client).tcpi_state;
	lab_witness(lab, "TCP_INFO", "idle: %s, SO_ERROR %d", lab_tcp_state_name(idle_state),
		    lab_get_option(idle.client, SOL_SOCKET, SO_ERROR));
	lab_witness(lab, "TCP_INFO", "busy: tcpi_retransmits %u, tcpi_rto %u ms",
		    lab_tcp_info(busy.client).tcpi_retransmits,
		    lab_tcp_info(busy.client).tcpi_rto / 1000);
	lab_outcome(lab, sent == 4 ? 1 : 0);
	lab_truth(lab, lab_if(sent == 4),
		  LAB_TEXT("send to a dead peer succeeds", "向已消失的对端 send 照样成功"),
		  "send=%zd", sent);
	lab_truth(lab, lab_if(idle_state == LAB_TCP_ESTABLISHED),
		  LAB_TEXT("an idle connection stays ESTABLISHED", "空闲的连接一直是 ESTABLISHED"),
		  "%s", lab_tcp_state_name(idle_state));
	ratio = seen == 3 && at_ms[1] > at_ms[0] ? (at_ms[2] - at_ms[1]) / (at_ms[1] - at_ms[0])
						 : 0;
	lab_truth(lab, ratio > 1.5 && ratio < 2.6 ? LAB_HOLDS : LAB_VARIES,
		  LAB_TEXT("data is sent again, each wait twice as long",
			   "数据不断重传，间隔每次加倍"),
		  "%.0f %.0f %.0f ms", at_ms[0], at_ms[1], at_ms[2]);
}

/* Opens the world or says loudly why not. */
static bool world_or_skip(struct lab *lab, struct lab_world *world, struct lab_text statement)
{
	if (lab_world_open(world))
		return true;
	lab_truth(lab, LAB_SKIPPED, statement, "%s", lab_error_name(errno));
	return false;
}

static void run(struct lab *lab)
{
	struct lab_world world;

	keepalive_default(lab);
	lab_part(lab, LAB_TEXT("The server vanishes: one client is idle, one sends",
			       "服务器消失：一个客户端空闲，一个在发送"));
	if (!world_or_skip(lab, &world,
			   LAB_TEXT("needs root: a peer that vanishes (two namespaces)",
				    "需要 root：让对端消失（两个网络命名空间）")))
		return;
	by_default(lab, &world);
	lab_world_close(&world);
}

/* Waits until the connection reports an error; returns it, and after how long. */
static int wait_for_error(int fd, uint64_t began, double *ret_ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	poll(&wait, 1, 2 * WATCH_MS);
	*ret_ms = lab_ms_since(began);
	return lab_get_option(fd, SOL_SOCKET, SO_ERROR);
}

static void set_keepalive(struct lab *lab, int fd)
{
	if (!lab_cure("keepalive"))
		return;
	LAB_OPTION(lab, fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	LAB_OPTION(lab, fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S);
	LAB_OPTION(lab, fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S);
	LAB_OPTION(lab, fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT);
}

static void notice(struct lab *lab, const struct lab_world *world)
{
	struct lab_pair keep, limit, ping;
	double ping_ms, limit_ms, keep_ms;
	int limit_error, keep_error;
	uint64_t began;
	bool answered;

	lab_quiet(lab, true);
	if (!world_pair(lab, world, &keep) || !world_pair(lab, world, &limit) ||
	    !world_pair(lab, world, &ping)) {
		lab_trouble(lab, "veth");
		return;
	}
	lab_quiet(lab, false);
	lab_restart_clock(lab);
	set_keepalive(lab, keep.client);
	if (lab_cure("user-timeout"))
		LAB_OPTION(lab, limit.client, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
	if (!lab_world_vanish(world)) {
		lab_trouble(lab, "veth");
		return;
	}
	began = lab_now_ns();
	lab_remark(lab, LAB_TEXT("the server vanishes from the net", "服务器从网上消失"));
	lab_send(lab, limit.client, "data", 4, 0);
	lab_send(lab, ping.client, "ping", 4, 0);
	answered = lab_wait_readable(ping.client, 1, PING_MS);
	ping_ms = lab_ms_since(began);
	if (!answered)
		lab_remark(lab, LAB_TEXT("the ping's deadline has passed", "ping 的期限到了"));
	limit_error = wait_for_error(limit.client, began, &limit_ms);
	lab_note(lab, LAB_TEXT("TCP_USER_TIMEOUT reports", "TCP_USER_TIMEOUT 报告"), "%s",
		 lab_error_name(limit_error));
	keep_error = wait_for_error(keep.client, began, &keep_ms);
	lab_note(lab, LAB_TEXT("keepalive reports", "keepalive 报告"), "%s",
		 lab_error_name(keep_error));
	lab_truth(lab, lab_if(!answered && ping_ms < PING_MS + 400),
		  LAB_TEXT("a ping with a deadline of 500 ms notices",
			   "带 500 毫秒期限的 ping 能发现"),
		  "%.0f ms", ping_ms);
	lab_truth(lab, lab_if(limit_error != 0 && limit_ms >= 900 && limit_ms < 2500),
		  LAB_TEXT("TCP_USER_TIMEOUT of 1 s notices", "1 秒的 TCP_USER_TIMEOUT 能发现"),
		  "%s %.0f ms", lab_error_name(limit_error), limit_ms);
	lab_truth(lab, lab_if(keep_error != 0 && keep_ms >= 2500 && keep_ms < 6000),
		  LAB_TEXT("keepalive, idle 1 s + 2 probes, notices",
			   "keepalive（空闲 1 秒，探测 2 次）能发现"),
		  "%s %.0f ms", lab_error_name(keep_error), keep_ms);
}

static void cure(struct lab *lab)
{
	struct lab_world world;

	lab_part(lab, LAB_TEXT("The server vanishes; three clients are prepared",
			       "服务器又消失了，这回三个客户端有准备"));
	if (!world_or_skip(lab, &world,
			   LAB_TEXT("needs root: how soon each of them notices",
				    "需要 root：看各自多久能发现")))
		return;
	notice(lab, &world);
	lab_world_close(&world);
}

const struct lab_experiment lab_exp_dead_peer = {
	.name = "dead-peer",
	.title = {"a peer that vanishes says nothing", "对端消失时不会打招呼"},
	.claim = {"When the other machine dies, recv returns 0 or an error.",
		  "对方机器挂了，recv 就会返回 0 或者报错。"},
	.question = {"A connection is up; then the server's cable is pulled behind the switch. The "
		     "client calls send. What does it return?",
		     "连接已经建立，这时交换机那头服务器的网线被拔掉。客户端调用 send，返回什么？"},
	.choices = {{"an error: the peer is unreachable", "错误：对端不可达"},
		    {"the number of bytes, as if nothing had happened",
		     "字节数，就像什么都没发生"}},
	.why = {"A machine that loses power sends no FIN. TCP learns of it only from what does not "
		"come back: while nothing is sent, there is nothing to miss, and the connection "
		"stays ESTABLISHED for ever. With data under way the kernel sends it again, each "
		"time waiting twice as long (tcp_retries2: about 15 minutes by default); "
		"keepalive, where switched on, begins after two hours.\n"
		"TCP_USER_TIMEOUT bounds the wait for an ACK (and, where both are set, decides for "
		"keepalive too, whatever its number of probes); keepalive probes an idle "
		"connection only, never one with data under way; and a ping in the protocol asks "
		"the program itself: a kernel answers for a program that hangs.",
		"断电的机器不会发 FIN。TCP 只能从“该回来的没有回来”得知：什么都不发，就没有什么可缺"
		"的，连接会永远停在 ESTABLISHED。有数据在途时，内核会重传，每次等待加倍"
		"（tcp_retries2，默认约 15 分钟）；keepalive 即使打开，默认也要两小时后才开始探"
		"测。\n"
		"TCP_USER_TIMEOUT 限定等待 ACK 的时间（两者都设时，keepalive 何时放弃也由它说了算，"
		"不再看探测次数）；keepalive 只探测空闲的连接，有数据在途时不起作用；而协议里的 "
		"ping 问的是程序本身：程序卡死了，内核照样会替它回 ACK。"},
	.sources = {"tcp(7), TCP_USER_TIMEOUT, TCP_KEEPIDLE, tcp_retries2",
		    "RFC 1122, 4.2.3.5 and 4.2.3.6; RFC 5482",
		    "Linux Documentation/networking/ip-sysctl.rst",
		    "veth(4); network_namespaces(7)"},
	.run = run,
	.cure_title = {"a ping, TCP_USER_TIMEOUT, keepalive",
		       "ping、TCP_USER_TIMEOUT 或 keepalive"},
	.cure = cure,
};
