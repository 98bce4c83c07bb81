package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// stream is a browser's stream of events.
type stream struct {
	pod    string
	cancel context.CancelFunc
	events chan event // closed when the stream has ended
}

type event struct {
	name, data string
	at         time.Time
}

// stream opens one, on the next pod.
func (b *browser) stream(ctx context.Context) (*stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.front.String()+"/events", http.NoBody)
	if err != nil {
		cancel()
		return nil, err
	}
	response, err := b.http.Do(req) //nolint:bodyclose // the goroutine below closes it
	if err != nil {
		cancel()
		return nil, err
	}
	s := &stream{pod: response.Header.Get(podHeader), cancel: cancel, events: make(chan event)}
	if response.StatusCode != http.StatusOK {
		cancel()
		_ = response.Body.Close()
		return nil, fmt.Errorf("stream: %s", response.Status)
	}
	go func() { // ends with the stream; close waits for it
		defer close(s.events)
		defer response.Body.Close()
		s.read(ctx, bufio.NewScanner(response.Body))
	}()
	return s, nil
}

func (s *stream) read(ctx context.Context, lines *bufio.Scanner) {
	var e event
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			e.at = time.Now()
			select {
			case s.events <- e:
			case <-ctx.Done():
				return
			}
			e = event{}
		}
	}
}

// first is the name of the next event.
func (s *stream) first(limit time.Duration) string {
	select {
	case e := <-s.events:
		return e.name
	case <-time.After(limit):
		return "nothing"
	}
}

// last is what the stream said last before it ended, and when.
func (s *stream) last(limit time.Duration) (what string, at time.Time) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var last event
	for {
		select {
		case e, ok := <-s.events:
			if !ok {
				return last.name + ": " + last.data, last.at
			}
			last = e
		case <-timer.C:
			return "it goes on", time.Now()
		}
	}
}

// close ends it, if it has not ended.
func (s *stream) close() {
	s.cancel()
	for range s.events {
		continue
	}
}
