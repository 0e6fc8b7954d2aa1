"""Patroni as Debian has it, with one thing taken away: what has lost the lock while it stood still does not take it again
as if it had never lost it.

The lock is a key on a lease. An etcd that led, stood still and goes on, takes the leases of those days for expired, and
asks the others to revoke them before it knows that it does not lead any more (seen with etcd 3.5.16). The one that has the
lock by now may lose it so; it is there, and has it back in a moment. But the Patroni that led before asks in the
same moment to renew "its" lock, and Patroni renews a lock that is gone by making it anew (`update_leader` of etcd3.py; its
alternative is the only use of `failure`). It would go on with a database that knows nothing of what was committed
meanwhile. Whoever finds no lock of its own is to demote itself, and to apply for it like the others: with its timeline and
by what the key of the synchronous copies says.
"""

import sys

from patroni.__main__ import main
from patroni.dcs.etcd3 import PatroniEtcd3Client

_txn = PatroniEtcd3Client.txn


def _txn_without_alternative(self, compare, success, failure=None, *, retry=None):
    return _txn(self, compare, success, retry=retry)


PatroniEtcd3Client.txn = _txn_without_alternative

# Patroni's children import this file, too, and are not to begin another one.
if __name__ == "__main__":
    sys.exit(main())
