"""Three ATMs, one bank: what is paid in at one is there at another, whichever of them dies.

Which one leads is not asked: each is killed once, and so the leading one is. Each is cut off once, for the
same reason.
"""

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from stage import binary, run
from until import until

TITLE = "three ATMs"
SECONDS = 300
DONE, REFUSED, UNKNOWN = 0, 1, 3
EXEC_WITHIN = 90
FAILOVER_WITHIN = 60


class Bank:
    def __init__(self, stage):
        ports = {number: stage.port() for number in (1, 2, 3)}
        peers = ",".join(f"{number}=127.0.0.1:{port}" for number, port in ports.items())
        self.flags = {
            number: [
                binary("atm"),
                "--id",
                number,
                "--listen",
                f"127.0.0.1:{port}",
                "--peers",
                peers,
                "--data",
                stage.dir / f"data-{number}",
            ]
            for number, port in ports.items()
        }
        self.atms = {number: stage.process(f"atm-{number}", flags) for number, flags in self.flags.items()}

    def exec(self, number, command):
        """Exit status and all that was said."""
        try:
            done = run([*self.flags[number], "exec", command], within=EXEC_WITHIN)
        except subprocess.TimeoutExpired:
            return None, f"no answer within {EXEC_WITHIN} s"
        return done.returncode, (done.stdout + done.stderr).strip()

    def done(self, number, command, repeatable=(REFUSED,)):
        """Asks until it is done. Goes on only after a refusal, which promises that nothing happened."""
        answers = []

        def once():
            status, said = self.exec(number, command)
            answers.append(said)
            if status != DONE and status not in repeatable:
                raise AssertionError(f"ATM {number}, {command!r}: exit status {status}: {said}")
            return status == DONE

        until(f"ATM {number} does {command!r}", once, FAILOVER_WITHIN, every=0.2)
        return answers[-1]

    def read(self, number, command):
        """What a reading tells. Asking again does no harm, whatever the outcome."""
        return self.done(number, command, repeatable=(REFUSED, UNKNOWN))

    def balance(self, number, account):
        """In cents."""
        said = self.read(number, f"balance {account}")
        amounts = re.findall(r"-?\d[\d,']*\.\d\d\b", said)
        assert amounts, f"no amount in {said!r}"
        return int(re.sub(r"\D", "", amounts[-1]))


def play(stage, report):
    bank = Bank(stage)
    for atm in bank.atms.values():
        atm.start()
    bank.done(1, "deposit alice 50.00")
    report.check("a deposit at ATM 1 is in the balance at ATM 2", bank.balance(2, "alice") == 5000)
    bank.done(2, "deposit bob 10.00")
    money = {"alice": 5000, "bob": 1000}

    for victim in bank.atms:
        _kill_one(bank, report, money, victim)
    status, said = bank.exec(1, "withdraw nobody 1.00")
    report.check(
        "an account that nobody opened is refused with a sentence",
        status == REFUSED and _sentence(said),
        said,
    )
    status, said = bank.exec(1, "dance alice")
    report.check("an unknown command is wrong usage (exit status 2)", status == 2, f"{status}: {said}")
    for alone in bank.atms:
        _cut_one_off(bank, report, money, alone)

    bank.atms[3].kill()
    status, said = bank.exec(3, "balance alice")
    report.check(
        "`exec` says so when no ATM runs there",
        status not in (DONE, None) and _sentence(said),
        f"{status}: {said}",
    )


def _kill_one(bank, report, money, victim):
    """Kills it, moves money at the two others, and brings it back."""
    second, third = (number for number in bank.atms if number != victim)
    bank.atms[victim].kill()
    killed = time.monotonic()
    said = _transfer(bank, report, third, "alice", "bob", 1050, money, f"after ATM {victim} is killed")
    report.note(
        f"from SIGKILL of ATM {victim} to the end of a transfer at ATM {third}",
        f"{time.monotonic() - killed:.3f} s",
    )
    report.check(
        f"the transfer at ATM {third} shows at ATM {second}",
        (bank.balance(second, "alice"), bank.balance(second, "bob")) == (money["alice"], money["bob"]),
        said,
    )
    status, said = bank.exec(second, f"withdraw alice {_amount(money['alice'] + 1)}")
    report.check(
        "a withdrawal beyond the balance is refused with a sentence",
        status == REFUSED and _sentence(said),
        said,
    )
    bank.atms[victim].start()
    report.check(
        f"the restarted ATM {victim} catches up and shows the same balances",
        (bank.balance(victim, "alice"), bank.balance(victim, "bob")) == (money["alice"], money["bob"]),
    )
    history, same = (bank.read(number, "history") for number in (second, victim))
    report.check(
        f"the restarted ATM {victim} shows the same history as ATM {second}",
        history == same and "bob" in same,
        f"{history}\n          {same}" if history != same else f"{len(same.splitlines())} lines",
    )


def _transfer(bank, report, number, source, target, cents, money, when):
    """One transfer, once. An unknown outcome is allowed just after a leader died: then the balance tells
    what happened."""

    def once():
        status, said = bank.exec(number, f"transfer {source} {target} {_amount(cents)}")
        return status not in (REFUSED, None) and (status, said)

    status, said = until(f"the transfer at ATM {number} ends {when}", once, FAILOVER_WITHIN, every=0.2)
    happened = status == DONE
    if status == UNKNOWN:
        happened = bank.balance(number, source) != money[source]
    report.check(f"a transfer at ATM {number} is done {when}", status in (DONE, UNKNOWN), f"{status}: {said}")
    if happened:
        money[source] -= cents
        money[target] += cents
    return said


def _cut_one_off(bank, report, money, alone):
    """Stops the two others: what is left may not answer as if it knew."""
    others = [atm for number, atm in bank.atms.items() if number != alone]
    before = bank.balance(alone, "bob")
    for atm in others:
        atm.pause()
    try:
        # Both at once and at once: a leader that is cut off still believes that it leads.
        with ThreadPoolExecutor() as pool:
            told = pool.submit(bank.exec, alone, "balance bob")
            status, said = bank.exec(alone, "deposit bob 1.00")
        reading, words = told.result()
        report.check(
            f"ATM {alone}, cut off, does not tell a balance",
            reading in (REFUSED, UNKNOWN) and _no_majority(words),
            f"{reading}: {words}",
        )
        report.check(
            f"ATM {alone}, cut off, does not say that a deposit is done",
            status in (REFUSED, UNKNOWN) and _no_majority(said),
            f"{status}: {said}",
        )
    finally:
        for atm in others:
            atm.resume()
    after = until("the bank answers again", lambda: bank.balance(alone, "bob"), FAILOVER_WITHIN)
    allowed = {before} if status == REFUSED else {before, before + 100}
    report.check(
        f"what ATM {alone} said of the deposit is true",
        after in allowed,
        f"{before} before, {after} after: {said}",
    )
    money["bob"] = after


def _no_majority(said):
    return "no majority: nothing was done" in said or "unknown outcome" in said


def _sentence(said):
    return len(said.split()) >= 3


def _amount(cents):
    return f"{cents // 100}.{cents % 100:02d}"
