package agents

import (
	"fmt"
	"strings"
	"time"
)

// unit is one switch as its status shows it.
type unit struct {
	name   string
	dice   dice
	spec   map[string]any
	ports  []port
	wiring wiring
}

// status is the whole status of an Agent at an instant.
func (u unit) status(p progress, now time.Time) map[string]any {
	status := map[string]any{
		"version":        agentVersion,
		"installID":      u.uuid("install"),
		"runID":          u.uuid("run"),
		"bootID":         u.uuid("boot"),
		"rebootRequired": false,
		"lastHeartbeat":  stamp(now),
		"conditions":     []any{appliedCondition(p)},
		"state":          u.state(p, now),
	}
	setIf(status, "lastAttemptGen", "lastAttemptTime", p.attemptGen, p.attemptTime)
	setIf(status, "lastAppliedGen", "lastAppliedTime", p.appliedGen, p.appliedTime)
	return status
}

func (u unit) state(p progress, now time.Time) map[string]any {
	boot := u.booted(p)
	roce, _ := dig(u.spec, "roce").(bool)
	return map[string]any{
		"nos":               u.nos(boot, now),
		"firmware":          map[string]any{"BIOS": "vlab-1.0", "ONIE": "2023.05"},
		"interfaces":        u.interfaces(boot, now),
		"breakouts":         u.breakouts(),
		"transceivers":      u.transceivers(now),
		"bgpNeighbors":      map[string]any{"default": u.bgpNeighbors(boot, now)},
		"bfdPeers":          map[string]any{"default": u.bfdPeers(boot)},
		"platform":          u.platform(now),
		"criticalResources": u.resources(now),
		"roce":              roce,
	}
}

func setIf(status map[string]any, genField, timeField string, gen int64, at time.Time) {
	if gen != 0 {
		status[genField], status[timeField] = gen, stamp(at)
	}
}

func appliedCondition(p progress) map[string]any {
	c := map[string]any{
		"type":               "Applied",
		"status":             "False",
		"reason":             "ApplyPending",
		"message":            fmt.Sprintf("Config will be applied, generation %d", p.attemptGen),
		"lastTransitionTime": stamp(p.transition),
		"observedGeneration": p.attemptGen,
	}
	if p.applied() {
		c["status"], c["reason"] = "True", "ApplySucceeded"
		c["message"] = fmt.Sprintf("Config applied, generation %d", p.appliedGen)
	}
	return c
}

// booted is when the switch came up: days before anybody asked, so that a fresh demo has a past.
func (u unit) booted(p progress) time.Time {
	days := u.dice.between(3, 40, u.name, "uptime")
	return p.created.Add(-time.Duration(days * 24 * float64(time.Hour))).Truncate(time.Second)
}

func (u unit) nos(boot, now time.Time) map[string]any {
	up := now.Sub(boot)
	return map[string]any{
		"asicVersion":         "vs",
		"buildCommit":         "vlab",
		"buildDate":           "Tue Apr  8 10:12:51 UTC 2025",
		"builtBy":             "vlab",
		"configDBVersion":     "version_4_2_1",
		"distributionVersion": "Debian 12.9",
		"hardwareVersion":     "1.0",
		"hwskuVersion":        "vlab-virtual-switch",
		"kernelVersion":       "6.1.0-29-2-amd64",
		"mfgName":             "Hedgerow vlab",
		"platformName":        "x86_64-kvm_x86_64-r0",
		"productDescription":  "Simulated switch",
		"productVersion":      "4.5.0",
		"serialNumber":        serialOf(u.spec, u.dice, u.name),
		"softwareVersion":     "4.5.0-Enterprise_Base",
		"uptime":              fmt.Sprintf("%d days, %d:%02d", int(up.Hours())/24, int(up.Hours())%24, int(up.Minutes())%60),
	}
}

func (u unit) uuid(word string) string {
	a, b := u.dice.bits(u.name, word, "high"), u.dice.bits(u.name, word, "low")
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0xfff, b&0xffffffffffff)
}

// mac is the address of a port: the switch's own, counted up.
func (u unit) mac(index int) string {
	base := macOf(u.spec, u.dice, u.name)
	return fmt.Sprintf("%s:%02x", base[:strings.LastIndex(base, ":")], index%256)
}

// macOf is the address that a switch booted with. A switch without one in its spec has one all the same.
func macOf(spec map[string]any, d dice, name string) string {
	if mac := text(spec, "boot", "mac"); strings.Contains(mac, ":") {
		return strings.ToLower(mac)
	}
	b := d.bits(name, "mac")
	return fmt.Sprintf("0c:20:12:%02x:%02x:00", b>>8&0xff, b&0xff)
}

func serialOf(spec map[string]any, d dice, name string) string {
	if serial := text(spec, "boot", "serial"); serial != "" {
		return serial
	}
	return fmt.Sprintf("VLAB%08X", d.bits(name, "serial")>>32)
}
