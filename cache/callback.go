package cache

import (
	"fmt"
	"log/slog"
	"runtime/debug"
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
			err = &PanicError{Callback: name, Value: v, Stack: debug.Stack()}
		}
	}()
	f()
	returned = true
	return nil
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

func (c *Cache[K, V]) notePanic(name string, err error) {
	c.stats.callbackPanics.Add(1)
	if _, logged := c.logged.LoadOrStore(name, true); logged {
		return
	}
	attrs := []any{slog.String("topic", c.topic), slog.String("callback", name)}
	if p, ok := err.(*PanicError); ok { //nolint:errorlint // it is made by protect
		// Not what it panicked with: that may be a key.
		attrs = append(attrs, slog.String("type", fmt.Sprintf("%T", p.Value)), slog.String("stack", string(p.Stack)))
	}
	c.cfg.Logger.Error("cache: a callback panicked", attrs...)
}

// callbackTimeout bounds the callbacks that the bus' goroutine has to wait for.
const callbackTimeout = time.Second

// callbackApart runs a callback in a goroutine of its own, for the bus' goroutine, which must neither end nor block. It
// returns an error if the callback panics, ends its goroutine, or takes longer than callbackTimeout.
func (c *Cache[K, V]) callbackApart(name string, f func()) error {
	done := make(chan error, 1)
	c.working.add(1)
	go func() {
		err := ErrLoaderExit
		defer func() {
			c.working.add(-1)
			done <- err
		}()
		err = protect(name, f)
	}()

	timer := time.NewTimer(callbackTimeout)
	defer timer.Stop()
	var err error
	select {
	case err = <-done:
	case <-timer.C:
		err = errCallbackSlow
	}
	if err != nil {
		c.notePanic(name, err)
	}
	return err
}
