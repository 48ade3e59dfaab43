-- For wrk: 20 attributes and a query never sent before. The path says whose body is written, ours or the peer's.
local attributes = '["color", "material", "size", "brand", "style", "pattern", "shape", "price", "age group", "season", ' ..
  '"country of origin", "washing care", "pile height", "backing material", "room type", "warranty length", ' ..
  '"weight", "rug thickness", "eco friendly", "indoor outdoor use"]'
local words = {
  "grey", "red", "blue", "wool", "cotton", "jute", "runner", "rug", "hallway", "kitchen", "bath", "kids",
  "large", "small", "round", "modern", "vintage", "soft", "washable", "outdoor",
}
local headers = { ["content-type"] = "application/json" }
local number, run = 0, nil

function init()
  math.randomseed(os.time())
  run = os.time() % 1000000 .. math.random(999)
end

function request()
  number = number + 1
  local query = {}
  for place = 1, 6 do query[place] = words[math.random(#words)] end
  query = table.concat(query, " ") .. " " .. run .. " " .. number
  local form = '{"query": "%s", "attributes": %s}'
  if wrk.path == "/rerank" then form = '{"model": "peer", "query": "%s", "documents": %s}' end
  return wrk.format("POST", nil, headers, form:format(query, attributes))
end
