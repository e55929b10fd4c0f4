/*
 * proxy.h - parts of the fault proxy: one thread, one epoll set, one server connection for each
 * client connection. README.md of this folder describes options, rules and the control socket.
 */
#ifndef FAULT_PROXY_PROXY_H
#define FAULT_PROXY_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HEAD_MAX     (256u << 10) /* of a request or an answer */
#define SCRATCH_SIZE (256u << 10) /* what one read takes at most */
#define LOG_MAX      1000000u     /* requests remembered; later ones are only counted */

/* buf.c: bytes between start and end; a failed allocation ends the program. */
struct buf {
    char *data;
    size_t start, end, size;
};
size_t buf_size(const struct buf *b);
char *buf_at(const struct buf *b);
void buf_add(struct buf *b, const void *bytes, size_t count);
void buf_text(struct buf *b, const char *text);
void buf_format(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_json(struct buf *b, const char *text); /* quoted */
void buf_take(struct buf *b, size_t count);     /* drop from the front */
void buf_empty(struct buf *b);                  /* keeps a small allocation */
void buf_clear(struct buf *b);
void *must(void *allocated);
char *copy_text(const char *text, size_t size);

/* head.c */
enum framing { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };
struct body {
    enum framing framing;
    uint64_t left; /* of the length, or of the chunk */
    int state;     /* of the chunk scanner */
    bool done;
};
struct head {
    size_t size; /* with the empty line */
    int status;  /* of an answer */
    bool http10, close, expect_continue;
    bool chunked, has_length;
    uint64_t length;
    char method[16];
    const char *target; /* inside the head; not terminated */
    size_t target_size;
    char range[64];
};
size_t head_find_end(const char *text, size_t size); /* 0 = not yet whole */
bool head_parse_request(const char *text, size_t size, struct head *head);
bool head_parse_answer(const char *text, size_t size, struct head *head);
bool head_get(const struct buf *text, const char *name, char *out, size_t out_size);
void head_remove(struct buf *text, const char *name);
void head_set(struct buf *text, const char *name, const char *value); /* replace or add */
void body_of_request(struct body *body, const struct head *head);
void body_of_answer(struct body *body, const struct head *head, bool to_head_request);
/* Bytes of `data` that belong to the body; decoded bytes are added to `decoded`, if any. */
size_t body_take(struct body *body, const char *data, size_t size, struct buf *decoded);

/* sign.c: a SigV4 signature for the headers that are left of those signed before */
void sign_again(struct buf *head);

/* rules.c */
enum fault {
    FAULT_NONE,
    FAULT_DELAY,
    FAULT_DROP,
    FAULT_APPLY_DROP,
    FAULT_RESET,
    FAULT_TRUNCATE,
    FAULT_LENGTH_MORE,
    FAULT_LENGTH_LESS,
    FAULT_LONGER,
    FAULT_DUPLICATE,
    FAULT_STATUS,
    FAULT_COMPLETE_ERROR,
    FAULT_WRONG_RANGE,
    FAULT_WHOLE,
    FAULT_MULTIPART,
    FAULT_STRIP_ETAG,
    FAULT_FLIP,
    FAULT_STALL,
    FAULT_REORDER,
    FAULT_IGNORE_CONDITIONALS,
    FAULT_REDIRECT,
    FAULT_HEADER,
    FAULT_REMEMBER,
    FAULT_REPLAY
};
struct rule {
    enum fault fault;
    const char *name; /* as in the command */
    int id;
    uint64_t nth; /* request number since the reset; 0 = any */
    char method[16];
    char match[512], glob[512];
    uint64_t count; /* applications left */
    uint64_t delay_ms;
    uint64_t after, by, at, rate;
    int status;
    char code[64], retry_after[64], region[64], location[256], set[256];
    bool apply, hang_up, first;
};
bool rule_parse(const char *words, struct rule *rule, struct buf *problem);
bool rule_needs_answer(const struct rule *rule); /* collect the server's answer first */
bool rule_is_canned(const struct rule *rule);    /* answer without asking the server */
int rules_add(const struct rule *rule);
void rules_clear(void);
/* The first rule that wants this request, counted down; false = none. */
bool rules_match(uint64_t number, const struct head *head, struct rule *rule);
void rules_json(struct buf *out);

/* answers.c: what goes to the client instead of, or made of, the server's answer */
enum ending { END_KEEP, END_CLOSE, END_RESET };
struct answer {
    struct buf head, body;
    struct buf out;      /* what is sent */
    size_t limit;        /* bytes of `out` to send before `ending` */
    size_t slow_from;    /* from here `rate` bytes a second; SIZE_MAX = never */
    uint64_t rate;       /* 0 = nothing */
    uint64_t slow_since; /* when the slow part began; 0 = not yet */
    size_t sent;
    enum ending ending;
    int status;
};
void answer_reset(struct answer *answer);
void answer_clear(struct answer *answer);
/* Fill `out` from the rule alone, or from the server's answer in head and body. */
void answer_canned(struct answer *answer, const struct rule *rule, const char *method,
                   const char *target);
void answer_transform(struct answer *answer, const struct rule *rule, const char *method,
                      const char *target);
bool answer_recall(struct answer *answer, const char *target); /* false: nothing remembered */
void answers_forget(void);

/* stats.c */
struct record {
    uint64_t number, start_ns, end_ns; /* end 0 = open */
    uint64_t request_bytes, response_bytes;
    uint64_t request_body, response_body;
    uint64_t connection;
    char *method, *target, *range;
    const char *fault;
    int status; /* 0 = none sent */
    bool aborted;
};
void stats_reset(uint64_t now);
void stats_connection(void);
/* Number of the request since the reset; the index is for stats_finish, SIZE_MAX = not logged. */
uint64_t stats_start(const struct head *head, uint64_t now, uint64_t connection, size_t *index,
                     uint64_t *epoch);
void stats_fault(size_t index, uint64_t epoch, const char *fault);
void stats_finish(size_t index, uint64_t epoch, uint64_t now, int status, bool aborted,
                  const uint64_t bytes[4]);
void stats_json(struct buf *out, bool with_log);
void stats_table(struct buf *out);

/* main.c */
struct settings {
    uint64_t latency_ms, setup_ms;
    uint64_t bandwidth; /* bytes a second, connection and direction; 0 = no cap */
    bool ignore_conditionals;
    const char *secret; /* to sign requests again that were edited; NULL = leave the signature */
};
extern struct settings settings;
extern int poll_fd;
extern char scratch[SCRATCH_SIZE];
uint64_t clock_ns(void);
int connect_to_server(bool *connected);

enum source { SOURCE_LISTENER, SOURCE_CONTROL_LISTENER, SOURCE_CONTROL, SOURCE_TIMER, SOURCE_SIDE };
struct handler {
    enum source source;
    int fd;
};

/* timers.c: a heap of what is due; the entry sits in its owner. */
struct timer {
    uint64_t due_ns; /* UINT64_MAX = none */
    size_t place;    /* in the heap, from 1; 0 = not in it */
};
void timer_set(struct timer *timer, uint64_t due_ns);
uint64_t timers_next(void); /* UINT64_MAX = none */
struct timer *timers_due(uint64_t now);

/* flow.c: bytes of one direction, from one socket to the other */
struct side {
    struct handler handler; /* fd -1 = not open */
    struct connection *connection;
    bool readable, writable; /* since the last EAGAIN: the events come on edges only */
    bool hung_up;
};
struct flow {
    struct side *from, *to;
    struct body body;
    struct buf in;       /* read, not looked at */
    struct buf out;      /* to be written */
    struct buf *collect; /* decoded body goes here instead of to `to` */
    struct buf *copy;    /* body as it came goes here as well */
    bool discard;        /* body goes nowhere */
    int pipe[2];         /* of the body when it is large; -1 = none */
    size_t in_pipe;
    uint64_t next_ns; /* bandwidth: no read before */
    uint64_t body_read, written;
};
enum progress { FLOW_BLOCKED, FLOW_DONE, FLOW_SOURCE_ENDED, FLOW_TARGET_BROKEN };
void flow_start(struct flow *flow);
void flow_clear(struct flow *flow);
/* Move what can be moved; *wake is lowered to when time alone allows more. */
enum progress flow_move(struct flow *flow, uint64_t now, uint64_t *wake);
ssize_t side_read(struct side *side, void *bytes, size_t size);        /* -1 = later, 0 = end */
ssize_t side_write(struct side *side, const void *bytes, size_t size); /* -1 = later, -2 = broken */
void pace(uint64_t *next_ns, uint64_t now, size_t bytes);              /* bytes were moved */
size_t pace_limit(size_t wanted);

/* connection.c: see connection.h */
void connection_accept(int fd, uint64_t now);
void connection_event(struct handler *side, uint32_t events);
void connection_timer(struct timer *timer);
void connections_sweep(void); /* free what was closed in this round */

/* control.c */
bool control_listen(const char *path, struct handler *listener);
void control_accept(struct handler *listener);
void control_read(struct handler *handler);
int control_send(const char *path, const char *command); /* the --send mode */

#endif
