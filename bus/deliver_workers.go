package bus

import "sync"

// workers counts the queues that are being worked off. Unlike a sync.WaitGroup it may grow while a goroutine waits for it to
// become empty: subscribers and publishers come and go beside the end of Run.
type workers struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n gets to zero; nil unless a goroutine waits
}

func (w *workers) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
}

func (w *workers) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n--; w.n == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// whenIdle returns a channel that is closed once no queue is being worked off.
func (w *workers) whenIdle() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n == 0 {
		idle := make(chan struct{})
		close(idle)
		return idle
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	return w.idle
}
