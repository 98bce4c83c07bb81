package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// pollPause is how often a pod is asked whether it still serves a session. It is part of what is measured.
const pollPause = 50 * time.Microsecond

// refusedAt polls until a pod no longer serves a session.
func refusedAt(ctx context.Context, p *sessionPod, token string) (time.Time, error) {
	for {
		_, err := p.Look(ctx, token)
		switch {
		case errors.Is(err, sessionstore.ErrNoSession):
			return time.Now(), nil
		case err != nil:
			return time.Time{}, err
		}
		time.Sleep(pollPause)
	}
}

func measureSessionRevokes(ctx context.Context, r *report, plan sessionPlan, f *sessionFleet) error {
	var whole, after, confirmed []float64
	a := f.all[0]
	for i := range plan.Revokes {
		token, err := a.login(ctx, fmt.Sprint("revoked ", i))
		if err != nil {
			return err
		}

		for _, p := range f.all {
			if _, err := p.Get(ctx, token); err != nil {
				return err
			}
		}

		waitCtx, cancel := context.WithTimeout(ctx, patience)
		at := make([]time.Time, 2)
		heard := make(chan error, 1)
		go func() {
			heard <- together(2, func(i int) (err error) {
				at[i], err = refusedAt(waitCtx, f.all[1+i], token)
				return err
			})
		}()

		time.Sleep(time.Millisecond) // both poll by now
		begin := time.Now()
		receipt, err := a.Revoke(waitCtx, token)
		returned := time.Now()

		if err == nil {
			err = a.bus.Confirm(waitCtx, receipt)
		}

		confirm := time.Since(returned)
		err = errors.Join(err, <-heard)
		cancel()

		if err != nil {
			return err
		}

		last := at[0]
		if at[1].After(last) {
			last = at[1]
		}

		whole = append(whole, last.Sub(begin).Seconds()*1e3)
		after = append(after, max(last.Sub(returned), 0).Seconds()*1e3)
		confirmed = append(confirmed, confirm.Seconds()*1e3)
	}

	r.row()
	r.row(append([]any{"ms", "samples"}, percentileHeads...)...)
	values := percentileRow(r, "Revoke on a, called → refused on b and c", "session.revoke", whole)
	percentileRow(r, "Revoke on a, returned → refused on b and c", "session.revoke_after", after)
	confirms := percentileRow(r, "Confirm, called → returned", "session.confirm", confirmed)
	r.result("session.revoke_p50_ms", values[0])
	r.result("session.revoke_p99_ms", values[2])
	r.result("session.confirm_p50_ms", confirms[0])
	return nil
}

// measureSessionCut revokes on pod a while c hears nothing, and can ask nobody.
func measureSessionCut(ctx context.Context, r *report, f *sessionFleet) error {
	a, c := f.all[0], f.all[sessionPods-1]
	token, err := a.login(ctx, "cut off")
	if err != nil {
		return err
	}
	if _, err := c.Get(ctx, token); err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()

	f.link.cut.Store(true)
	begin := time.Now()
	served := make(chan time.Duration, 1)
	go func() {
		last := begin
		for ctx.Err() == nil && time.Since(begin) < patience/2 {
			once, stop := context.WithTimeout(ctx, 100*time.Millisecond)
			if _, err := c.Look(once, token); err == nil {
				last = time.Now()
			}
			stop()
			time.Sleep(pollPause)
		}

		served <- last.Sub(begin)
	}()

	receipt, err := a.Revoke(ctx, token)
	if err != nil {
		return err
	}
	if err := a.bus.Confirm(ctx, receipt); err != nil {
		return err
	}

	confirmed := time.Since(begin)
	last := <-served
	if last > confirmed {
		return fmt.Errorf("pod c served the session %v after it was confirmed", last-confirmed)
	}

	r.row()
	r.row("Revoke on one pod while another is cut off", "ms")
	r.row("that one served the session for", number(last.Seconds()*1e3))
	r.row("Confirm took", number(confirmed.Seconds()*1e3))
	r.result("session.cut_off_served_ms", last.Seconds()*1e3)
	r.result("session.cut_off_confirm_ms", confirmed.Seconds()*1e3)
	return nil
}
