// Where the server keeps its tokens: a map a model, without the limit of the library's own memory adapter.
//
// With keepLast a refresh token is used up only when its successor is used: until then it may come again, as after an
// answer that was lost.

export function adapter({ keepLast, onRevoked }) {
  const store = new Map();
  const waiting = new Map();

  return class {
    constructor(model) {
      this.model = model;
    }

    key(id) {
      return `${this.model}:${id}`;
    }

    async upsert(id, payload, expiresIn) {
      store.set(this.key(id), { payload, until: expiresIn ? Date.now() + expiresIn * 1000 : Infinity });
    }

    async find(id) {
      const found = store.get(this.key(id));
      if (!found) return undefined;
      if (found.until > Date.now()) return found.payload;
      store.delete(this.key(id));
      return undefined;
    }

    async findByUid(uid) {
      return [...store.values()].map(({ payload }) => payload).find((payload) => payload.uid === uid);
    }

    async findByUserCode() {
      return undefined;
    }

    async destroy(id) {
      store.delete(this.key(id));
    }

    async consume(id) {
      const { payload } = store.get(this.key(id));
      const now = Math.floor(Date.now() / 1000);
      if (!keepLast || this.model !== 'RefreshToken') {
        payload.consumed = now;
        return;
      }
      const before = waiting.get(payload.grantId);
      if (before && before !== payload) before.consumed = now;
      waiting.set(payload.grantId, payload);
    }

    async revokeByGrantId(grantId) {
      if (this.model === 'RefreshToken') onRevoked();
      for (const [key, { payload }] of store) {
        if (payload.grantId === grantId) store.delete(key);
      }
    }
  };
}
