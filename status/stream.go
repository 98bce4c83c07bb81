package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	writeTimeout = 10 * time.Second // of one message: a client that takes longer is gone
	admitAgain   = 30 * time.Second // how often it is looked whether a watcher is still admitted
)

// stream sends to all watchers. One goroutine reads for all of them: it begins with the first watcher, and the last one to
// leave ends it and waits for it.
type stream struct {
	h                 *Handler
	watching, reading *prometheus.Desc
	over              chan struct{} // closed by end

	mu       sync.Mutex
	closed   bool
	watchers map[chan []byte]struct{} // each holds the newest message
	stop     context.CancelFunc       // ends the goroutine
	done     chan struct{}            // closed when it has ended; nil: there never was one
	reads    int64
	history  []sample // newest last
	newest   []byte
	toldAt   time.Time
	left     sync.WaitGroup // watchers that have not left yet
}

func newStream(h *Handler) *stream {
	return &stream{
		h: h, over: make(chan struct{}), watchers: make(map[chan []byte]struct{}),
		watching: prometheus.NewDesc("pgcoherence_status_watchers", "Who watches the live page.", nil, nil),
		reading:  prometheus.NewDesc("pgcoherence_status_reads_total", "Readings for those who watch the live page.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (s *stream) Describe(ch chan<- *prometheus.Desc) { ch <- s.watching; ch <- s.reading }

// Collect implements prometheus.Collector.
func (s *stream) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	watchers, reads := len(s.watchers), s.reads
	s.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(s.watching, prometheus.GaugeValue, float64(watchers))
	ch <- prometheus.MustNewConstMetric(s.reading, prometheus.CounterValue, float64(reads))
}

// join adds a watcher. The first messages are in its channel if there are any.
func (s *stream) join() (messages chan []byte, first []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.closed {
		return nil, nil, errShuttingDown
	}
	if len(s.watchers) >= s.h.cfg.MaxWatchers {
		return nil, nil, errTooMany
	}

	messages = make(chan []byte, 1)
	if time.Since(s.toldAt) < 2*s.h.cfg.Interval {
		messages <- s.newest
	}
	if first, err = message("history", s.history); err != nil {
		return nil, nil, err
	}

	s.watchers[messages] = struct{}{}
	s.left.Add(1)

	if s.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		before, done := s.done, make(chan struct{})
		s.stop, s.done = cancel, done
		go s.run(ctx, before, done)
	}

	return messages, first, nil
}

func (s *stream) leave(messages chan []byte) {
	defer s.left.Done()
	s.mu.Lock()
	delete(s.watchers, messages)
	if len(s.watchers) > 0 {
		s.mu.Unlock()
		return
	}
	stop, done := s.stop, s.done
	s.stop = nil
	s.mu.Unlock()
	stop()
	<-done
}

// end ends all watchers, admits no other, and returns when all are gone.
func (s *stream) end() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.over)
	}
	s.mu.Unlock()
	s.left.Wait()
}

func (s *stream) ended() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

// run reads once per interval until ctx ends. before is the goroutine that ran before this one, which may still be on its
// way out.
func (s *stream) run(ctx context.Context, before, done chan struct{}) {
	defer close(done)

	if before != nil {
		<-before
	}

	t := time.NewTicker(s.h.cfg.Interval)
	defer t.Stop()

	for {
		s.tell(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// tell reads and sends the message to all watchers; one that has not taken the last one gets this one instead.
func (s *stream) tell(ctx context.Context) {
	seen := s.h.probe.look(ctx)

	if ctx.Err() != nil {
		return
	}

	u := s.h.tracker.next(s.h.report(seen), s.h.bus.Delays())
	text, err := message("status", u)
	if err != nil {
		s.h.cfg.Logger.ErrorContext(ctx, "status: message could not be made", slog.Any("error", err))
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.reads++
	s.history, s.newest, s.toldAt = s.h.tracker.samples(), text, time.Now()
	for w := range s.watchers {
		select {
		case <-w:
		default:
		}
		w <- text // there is room: only this goroutine sends
	}
}

// message is one server-sent event.
func message(name string, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("event: " + name + "\ndata: ")
	b.Write(text) // JSON has no line breaks
	b.WriteString("\n\n")
	return b.Bytes(), nil
}

// serve is the stream of one watcher.
func (s *stream) serve(w http.ResponseWriter, r *http.Request) {
	messages, first, err := s.join()
	if err != nil {
		code := http.StatusServiceUnavailable
		if errors.Is(err, errTooMany) {
			code = http.StatusTooManyRequests // the page tells the two apart
			s.h.refusals.WithLabelValues("too many").Inc()
		}

		w.Header().Set("Retry-After", "5")
		refuse(w, code, err)
		return
	}

	defer s.leave(messages)

	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no") // for nginx, which would gather messages
	head.Set("X-Content-Type-Options", "nosniff")
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the request is read: a server's ReadTimeout would end the stream

	send := func(text []byte) bool {
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // a server that knows none is one of a test
		if _, err := w.Write(text); err != nil {
			return false
		}
		return out.Flush() == nil
	}
	if !send(append([]byte("retry: 1000\n"), first...)) {
		return
	}

	again := time.NewTicker(admitAgain)
	defer again.Stop()

	for {
		select {
		case <-r.Context().Done():
			return
		case <-s.over:
			send([]byte("event: end\ndata: {}\n\n"))
			return
		case <-again.C:
			if s.h.gate.admit(r) != nil {
				return
			}
		case text := <-messages:
			if !send(text) {
				return
			}
		}
	}
}
