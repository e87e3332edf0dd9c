package agents

import (
	"fmt"
	"strconv"
	"time"
)

// breakouts reports how each uplink is divided: as the Switch asks, else not at all.
func (u unit) breakouts() map[string]any {
	breakouts := map[string]any{}
	asked, _ := dig(u.spec, "portBreakouts").(map[string]any)
	for _, p := range u.ports {
		if u.speed(p) >= 100 {
			breakouts[p.name] = map[string]any{"mode": fmt.Sprintf("1x%dG", u.speed(p)), "status": "Completed"}
		}
	}
	for name, mode := range asked {
		breakouts[name] = map[string]any{"mode": mode, "status": "Completed"}
	}
	return breakouts
}

// transceivers reports an optical module in every cabled port.
func (u unit) transceivers(now time.Time) map[string]any {
	modules := map[string]any{}
	for _, p := range u.ports {
		lanes, form, descr := 1, "SFP28", "25GBASE-SR"
		switch gigabits := u.speed(p); {
		case gigabits >= 400:
			lanes, form, descr = 8, "QSFP-DD", "400GBASE-SR8"
		case gigabits >= 100:
			lanes, form, descr = 4, "QSFP28", "100GBASE-SR4"
		}
		module := map[string]any{
			"present":    "PRESENT",
			"oper":       "up",
			"descr":      descr,
			"formFactor": form,
			"connType":   "LC",
			"cable":      "MMF",
			"length":     float64(5 + u.dice.bits(u.name, p.name, "length")%45),
			"vendor":     "Hedgerow vlab",
			"vendorOUI":  "00-00-5E",
			"vendorPart": "VL-" + form,
			"vendorRev":  "A",
			"serial":     fmt.Sprintf("VL%09d", u.dice.bits(u.name, p.name, "module")%1e9),
			"temp":       round(u.dice.wander(u.dice.between(34, 46, u.name, p.name, "t"), 3, now, u.name, p.name, "temp"), 1),
			"voltage":    round(u.dice.wander(3.3, 0.03, now, u.name, p.name, "volt"), 3),
			"channels":   u.lanes(p, lanes, now),
		}
		if form == "QSFP-DD" {
			module["cmis"], module["cmisRev"], module["cmisApp"], module["firmware"] = "READY", "5.0", int64(1), "1.2"
		}
		if lanes > 1 {
			module["connType"] = "MPO"
		}
		modules[p.name] = module
	}
	return modules
}

// lanes reports laser power in dBm and bias in mA. What a lane receives is what the far end sends, less the cable's loss.
func (u unit) lanes(p port, count int, now time.Time) map[string]any {
	channels := map[string]any{}
	for i := range count {
		lane := strconv.Itoa(i + 1)
		sent := func(device, port string) float64 {
			middle := u.dice.between(-1.8, 0.8, device, port, lane, "out")
			return u.dice.wander(middle, 0.12, now, device, port, lane, "power")
		}
		loss := u.dice.between(0.4, 2.2, u.name, p.name, lane, "loss")
		channels[lane] = map[string]any{
			"out":  round(sent(u.name, p.name), 2),
			"in":   round(sent(p.peer, p.peerPort)-loss, 2),
			"bias": round(u.dice.wander(6.8, 0.2, now, u.name, p.name, lane, "bias"), 2),
		}
	}
	return channels
}
