package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// protect calls one of the application's functions. A panic becomes a *PanicError. One that ends its goroutine with
// runtime.Goexit ends the caller's, so callers keep nothing locked and leave the rest to deferred functions. No callback
// runs under a lock of the cache's, so that it may block, and use the cache.
func protect(name string, f func()) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			err = newPanicError(name, v)
		}
	}()
	f()
	returned = true
	return nil
}

// newPanicError returns the error of a panic. What was panicked with may be an error whose methods panic, such as a nil
// pointer. Then Unwrap does not return it.
func newPanicError(callback string, v any) (p *PanicError) {
	p = &PanicError{Callback: callback, Value: v, Stack: debug.Stack()}
	if err, ok := v.(error); ok {
		defer func() { _ = recover() }()
		p.hostile = true
		_ = errors.Is(err, ErrNotFound)
		p.hostile = false
	}
	return p
}

// callback is protect for what is not the loader. A panic is counted, and the first of each kind is logged: it may have no
// reader who learns of it.
func (c *Cache[K, V]) callback(name string, f func()) error {
	err := protect(name, f)
	if err != nil {
		c.notePanic(name, err)
	}
	return err
}

// isPanic reports whether a callback has ended in another way than by returning.
func isPanic(err error) bool {
	_, ok := err.(*PanicError)          //nolint:errorlint // it is made by protect
	return ok || err == errCallbackExit //nolint:errorlint // it is made by callApart
}

func (c *Cache[K, V]) notePanic(name string, err error) {
	c.stats.callbackPanics.Add(1)
	attrs := []slog.Attr{slog.String("callback", name)}
	if p, ok := err.(*PanicError); ok { //nolint:errorlint // it is made by protect
		// Not what it panicked with: that may be a key.
		attrs = append(attrs, slog.String("type", fmt.Sprintf("%T", p.Value)), slog.String("stack", string(p.Stack)))
	}
	c.logOnce(slog.LevelError, "cache: a callback panicked", name, attrs...)
}

// logOnce logs a message if it is the first about a subject.
func (c *Cache[K, V]) logOnce(level slog.Level, message, subject string, attrs ...slog.Attr) {
	if _, logged := c.logged.LoadOrStore(message+subject, true); logged {
		return
	}
	c.log(level, message, append([]slog.Attr{slog.String("topic", c.topic)}, attrs...)...)
}

// log writes a line, for callers that must neither end nor wait for ever: the bus' goroutine is one of them. While a line is
// overdue, others are left out.
func (c *Cache[K, V]) log(level slog.Level, message string, attrs ...slog.Attr) {
	if c.logging.overdue.Load() > 0 {
		return
	}

	ctx, cancel := context.WithTimeout(context.Background(), callbackTimeout)
	defer cancel()
	_, _ = callApart(ctx, &c.logging, 0, "Logger", func() (struct{}, error) {
		c.cfg.Logger.LogAttrs(context.Background(), level, message, attrs...) //nolint:sloglint // its callers' messages are constants
		return struct{}{}, nil
	})
}

// callbackTimeout bounds the callbacks that the bus' goroutine has to wait for.
const callbackTimeout = time.Second

// callbackApart runs a callback for the bus' goroutine, which must neither end nor block. It returns an error if the callback
// panics, ends its goroutine, or takes longer than callbackTimeout. While one that took longer has not returned, no other is
// begun: the bus waits for it once.
func (c *Cache[K, V]) callbackApart(name string, f func()) error {
	if c.apart.overdue.Load() > 0 {
		return errCallbackSlow
	}

	ctx, cancel := context.WithTimeout(context.Background(), callbackTimeout)
	defer cancel()
	_, err := callApart(ctx, &c.apart, 0, name, func() (struct{}, error) { f(); return struct{}{}, nil })
	if err != nil {
		c.notePanic(name, err)
	}
	return err
}

// apart counts callbacks that run in goroutines of their own, for callers who must neither end nor wait for ever.
type apart struct {
	working *workers
	overdue atomic.Int32 // callbacks that have not returned although their callers have left
}

// callApart calls a callback in a goroutine of its own, and returns what that returns. It returns an error if the callback
// panics, ends its goroutine, or has not returned some grace after ctx has ended. In the last case it goes on alone, and its
// result is dropped.
func callApart[T any](ctx context.Context, a *apart, grace time.Duration, name string, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	const (
		left     = 1
		returned = 2
	)
	var state atomic.Int32
	done := make(chan result, 1)
	a.working.add(1)
	go func() {
		r := result{err: errCallbackExit}
		defer func() {
			if !state.CompareAndSwap(0, returned) {
				a.overdue.Add(-1)
			}
			a.working.add(-1)
			done <- r
		}()
		var value T
		var err error
		if panicked := protect(name, func() { value, err = f() }); panicked != nil {
			err = panicked
		}
		r = result{value, err}
	}()

	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-timer.C:
	}

	if state.CompareAndSwap(0, left) {
		a.overdue.Add(1)
		return result{}.value, errCallbackSlow
	}
	r := <-done // it has returned at this moment
	return r.value, r.err
}
